"""The simulator of Kustomer's REST API: records, searches, refusals, and the app that serves them."""
