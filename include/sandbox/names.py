"""Words from which the generated organisation is made; every person is invented."""

FIRST = (
    "Ada", "Bruno", "Carla", "Dario", "Edith", "Farid", "Greta", "Hugo", "Ines", "Jonas",
    "Kira", "Leon", "Mona", "Nils", "Olga", "Pavel", "Quinn", "Rosa", "Stefan", "Tessa",
    "Umar", "Vera", "Wim", "Xenia", "Yusuf", "Zoe", "Anouk", "Björn", "Chiara", "Desmond",
)  # fmt: skip
LAST = (
    "Ashdown", "Bellweather", "Corrin", "Dunmore", "Eastlake", "Fenwick", "Garrow", "Halloran", "Ingram", "Jessop",
    "Kestrel", "Lindqvist", "Marlow", "Norwood", "Oakes", "Pemberly", "Quill", "Ravensby", "Sorrel", "Thackeray",
    "Underhill", "Vance", "Whitlock", "Yarrow", "Zeller", "Müller-Brandt", "O’Hara", "de Groot", "Nguyễn", "Łuczak",
)  # fmt: skip
SUBJECTS = (
    "Where is my parcel?", "Refund for the blue jacket", "Wrong size delivered", "Discount code does not work",
    "Change of address", "Invoice for last month", "Broken zip", "Exchange please", "Gift card balance",
    "How do I wash wool?", "Two charges on my card", "Back in stock?",
)  # fmt: skip
TOPICS = (
    "returns", "refund", "shipping", "damage", "sizing", "billing", "vip", "complaint", "praise", "exchange",
    "gift card", "store", "website",
)  # fmt: skip
CHANNELS = ("email", "email", "email", "chat", "chat", "form", "voice", "sms", "whatsapp")
HTML_NAME = "<b>Rita</b> <script>alert(1)</script> & Söhne"
