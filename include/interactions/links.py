"""Addresses that lead people to Kustomer."""

from urllib.parse import quote


def link_to(web_url: str, customer_id: str, conversation_id: str) -> str:
    """Return the address of the conversation in Kustomer (fact sheet kustomer.md, section 3)."""
    customer, conversation = quote(customer_id, safe=""), quote(conversation_id, safe="")
    return f"{web_url.rstrip('/')}/app/customers/{customer}/event/{conversation}"
