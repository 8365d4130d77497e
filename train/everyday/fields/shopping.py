"""Tasks about shops, carts, parcels and prices."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import (
    ADDRESS,
    CITY,
    EMAIL,
    FLAG,
    code,
    composed,
    count,
    lines,
    one_of,
    several,
    text,
    whole,
)
from train.everyday.vocabulary import GROCERIES, PRODUCTS, SENTENCES

COLORS = (
    "black",
    "white",
    "red",
    "dark blue",
    "green",
    "grey",
    "yellow",
    "beige",
    "purple",
    "orange",
    "silver",
    "brown",
)
PRODUCT = composed("{thing}", "{thing}", "{color} {thing}", thing=PRODUCTS, color=COLORS)
THING = text(PRODUCTS)
ORDER = code("####-###", "A####", "ORD-#####", "#######", "@@-####")
PARCEL = code("1Z####@@##", "JD##########", "RR#########DE", "PK-######")
SHOP = text(("Northgate Mall", "Corner Books", "Hill & Sons", "ToolBarn", "Fresh Basket", "Pixel Planet", "Happy Paws"))

FIELD = (
    Task(
        "search_products",
        "Search the products of a shop",
        (
            need("query", PRODUCT, "What to look for"),
            may("max_price", whole(10, 400, 5), "Highest price in dollars"),
            may("brand", text(("Aurora", "Kestrel", "Bergmann", "Ozato", "Finch & Co", "Tundra", "Velora")), "Brand"),
            may("in_stock", FLAG, "Only products that are in stock"),
            may("sort_by", one_of("price", "rating", "newest"), "Order of the results"),
        ),
        (
            "Find [{query}] under ${max_price}",
            "I'm looking for {query}, ideally from {brand} and no more than {max_price} dollars.",
            "Search for [{query}] in the shop",
            (
                "Search for {query} by {brand} under {max_price} dollars, in stock only, sorted by {sort_by}.",
                {"in_stock": True},
            ),
            ("Show me {query} from {brand} that you have in stock", {"in_stock": True}),
            "Search for {query} and sort the results by {sort_by}",
        ),
        lambda a, f: {"found": f.whole(1, 60), "cheapest": f.number(5, 90, 2)},
        "There are {found} results for {query}; the cheapest costs ${cheapest}.",
        (Ask("I'd like to buy something for less than ${max_price}.", "What are you looking for?", "A {query}."),),
        "And [{query}]?",
    ),
    Task(
        "add_to_cart",
        "Add a product to the shopping cart",
        (
            need("product", THING, "Name of the product"),
            need("quantity", count(2, 8), "How many"),
            may("color", text(COLORS), "Color"),
            may("size", one_of("S", "M", "L", "XL"), "Size"),
            may("gift_wrap", FLAG, "Whether to wrap it as a gift", False),
        ),
        (
            "Put [{quantity} times {product}] in my cart",
            "Add {quantity} of the {product} to my basket, in {color}, please.",
            "I'll take {quantity} of the {product} in size {size}.",
            (
                "{quantity} times {product} in {color}, size {size}, gift wrapped, into my cart please.",
                {"gift_wrap": True},
            ),
            ("Add {quantity} times {product} in {color} to the cart and wrap it as a gift", {"gift_wrap": True}),
        ),
        lambda a, f: {"cart_total": f.number(15, 400, 2)},
        "Added to your cart. The total is now ${cart_total}.",
        (Ask("Add {product} to my cart.", "How many would you like?", "{quantity}"),),
    ),
    Task(
        "remove_from_cart",
        "Remove a product from the shopping cart",
        (need("product", THING, "Name of the product"),),
        (
            "Take [the {product}] out of my cart",
            "Remove [the {product}] from the basket",
            "I don't want the {product} anymore.",
        ),
        lambda a, f: {"items_left": f.whole(0, 6)},
        "The {product} is gone; {items_left} items are left in your cart.",
        (Ask("Remove something from my cart.", "Which product?", "The {product}."),),
    ),
    Task(
        "track_parcel",
        "Find out where a parcel is",
        (need("tracking_number", PARCEL, "Tracking number"), may("carrier", one_of("UPS", "DHL", "FedEx"), "Carrier")),
        (
            "Where is [my parcel {tracking_number}]?",
            "Track [{tracking_number}]",
            "Has my {carrier} parcel {tracking_number} arrived yet?",
            "My tracking number is {tracking_number}. When will it get here?",
        ),
        lambda a, f: {"status": f.pick("in transit", "out for delivery", "at the depot"), "days_left": f.whole(1, 5)},
        "Parcel {tracking_number} is {status} and should arrive within {days_left} days.",
        (Ask("Where's my parcel?", "What is the tracking number?", "It's {tracking_number}."),),
        "And [{tracking_number}]?",
    ),
    Task(
        "return_item",
        "Start the return of a product from an order",
        (
            need("order_id", ORDER, "Number of the order"),
            need("item", THING, "Product to send back"),
            need("reason", one_of("too_small", "too_large", "damaged", "not_as_described"), "Why"),
            may("refund", one_of("card", voucher="a voucher"), "How the money comes back"),
        ),
        (
            "I want to send back the {item} from order {order_id}, it's {reason}.",
            "Return the {item} of order {order_id} because it is {reason}",
            "The {item} in order {order_id} was {reason}. I'd like {refund} for it.",
        ),
        lambda a, f: {"label": f"{f.code('RET')}.pdf", "days": f.whole(7, 30)},
        "Your return is set up. Print the label {label} and send the {item} within {days} days.",
        (Ask("I need to return the {item}, it's {reason}.", "What is the order number?", "{order_id}"),),
    ),
    Task(
        "compare_prices",
        "Compare what a product costs in several shops",
        (
            need("product", PRODUCT, "Product"),
            need("shops", several(SHOP, 2, 4), "Shops to compare"),
        ),
        (
            "Compare the price of {product} at {shops}",
            "Who sells the cheapest {product}: {shops}?",
            "Where is {product} cheaper, {shops}?",
        ),
        lambda a, f: {"prices": {shop: f.number(10, 200, 2) for shop in a["shops"]}},
        lambda a, r: (
            f"{min(a['shops'], key=lambda shop: r['prices'][shop])} is cheapest at ${min(r['prices'].values()):.2f}."
        ),
        (Ask("Compare prices for {product}.", "In which shops?", "{shops}"),),
    ),
    Task(
        "apply_coupon",
        "Apply a coupon code to an order",
        (
            need("code", code("SAVE##", "@@@##", "SPRING-##", "WELCOME#"), "Coupon code"),
            need("order_id", ORDER, "Order"),
        ),
        (
            "Use the coupon {code} for order {order_id}",
            "I have a code, {code}, for my order {order_id}.",
            "Can I get the {code} discount on order {order_id}?",
        ),
        lambda a, f: {"saved": f.number(2, 30, 2)},
        "The coupon saves you ${saved}.",
        (Ask("Apply my coupon {code}.", "To which order?", "Order {order_id}."),),
    ),
    Task(
        "write_review",
        "Publish a review of a product",
        (
            need("product", THING, "Product"),
            need("stars", count(2, 5), "Stars out of 5"),
            may(
                "text", text((*SENTENCES, "Works like a charm", "Broke after a week", "Great value for money")), "Text"
            ),
            may("anonymous", FLAG, "Whether to hide the name"),
        ),
        (
            "Give [the {product} {stars} stars]",
            'Review the {product}: {stars} stars, "{text}".',
            ('Rate the {product} with {stars} stars anonymously and write "{text}"', {"anonymous": True}),
        ),
        lambda a, f: {"review_id": f.code("RV")},
        "Thank you, your review of the {product} is online.",
        (Ask("I want to review the {product}.", "How many stars would you give it?", "{stars} stars."),),
    ),
    Task(
        "order_groceries",
        "Order groceries for delivery",
        (
            need("items", lines(GROCERIES, "name", "quantity"), "What to bring, and how many of each"),
            nested(
                "delivery",
                "Where to bring it",
                need("address", ADDRESS, "Street address"),
                may("floor", count(1, 9), "Floor"),
                is_required=False,
            ),
            may("note", text(("ring twice", "leave it at the door", "no plastic bags", "call on arrival")), "Note"),
        ),
        (
            "Order {items}",
            "I need {items} delivered to {delivery.address}.",
            'Get me {items} and bring it to {delivery.address}, note for the driver: "{note}".',
            "Have {items} sent to {delivery.address}, floor {delivery.floor}",
        ),
        lambda a, f: {"order_id": f.code("G"), "total": f.number(9, 70, 2), "minutes": f.whole(3, 12) * 10},
        "Your groceries cost ${total} and arrive in about {minutes} minutes.",
        (Ask("Order some groceries for me.", "What do you need?", "{items}"),),
    ),
    Task(
        "set_price_alert",
        "Send a mail when a product gets cheaper than a limit",
        (
            need("product", PRODUCT, "Product"),
            need("limit", whole(10, 300, 5), "Price in dollars"),
            may("email", EMAIL, "Where to send it"),
        ),
        (
            "Tell me when [the {product} drops below ${limit}]",
            "Notify {email} as soon as the {product} costs less than {limit} dollars",
            "I'd buy the {product} for under ${limit}, so watch its price.",
        ),
        lambda a, f: {"alert_id": f.code("PA"), "price_now": a["limit"] + f.whole(3, 60)},
        "I'll watch it. At the moment the {product} costs ${price_now}.",
        (Ask("Tell me when the {product} gets cheaper.", "Below which price?", "{limit} dollars."),),
    ),
    Task(
        "find_store",
        "Find the branch of a store in a city and its opening hours",
        (need("store", SHOP, "Name of the store"), need("city", CITY, "City"), may("open_now", FLAG, "Only open ones")),
        (
            "Is there a {store} [in {city}]?",
            "Where is {store} in {city}?",
            ("Which {store} in {city} is open right now?", {"open_now": True}),
        ),
        lambda a, f: {
            "address": f"{f.whole(1, 99)} {f.pick('Market Street', 'Station Road')}",
            "closes": f.pick("18:00", "20:00"),
        },
        "{store} in {city} is at {address} and closes at {closes}.",
        (Ask("Is there a {store} near me?", "In which city are you?", "I'm in {city}."),),
    ),
)
