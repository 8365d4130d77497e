"""Tasks about accounts, payments, budgets and shares."""

from __future__ import annotations

from train.everyday.proper_names import COMPANIES
from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import DATE, FLAG, FULL_NAME, PERSON, code, count, number, one_of, several, text, whole

ACCOUNT = one_of("checking", "savings", "joint", "business")
IBAN = code("DE## #### #### ####", "FR## #### ####", "GB##BANK######", "NL##INGB######")
CATEGORY = one_of("groceries", "rent", "transport", "clothes", "restaurants", "hobbies", "insurance", "pets")
BILL = text(("electricity", "phone", "gas", "water", "internet", "car insurance", "credit card", "kindergarten"))
PURPOSE = text(
    (
        "rent for May",
        "concert tickets",
        "dinner on Friday",
        "birthday present",
        "invoice 4471",
        "thanks for the help",
        "bike repair",
    )
)
STOCK = text(COMPANIES)
FUND = text(("the global fund", "the bond fund", "the green energy fund", "the index fund", "the gold fund"))

FIELD = (
    Task(
        "transfer_money",
        "Transfer money to somebody",
        (
            nested("recipient", "Who gets it", need("name", FULL_NAME, "Name"), may("iban", IBAN, "Account number")),
            need("amount", number(5, 900, 2), "Amount"),
            may("currency", one_of("USD", EUR="euros", GBP="pounds"), "Currency", "USD"),
            may("purpose", PURPOSE, "Text of the transfer"),
            may("from_account", ACCOUNT, "Account that pays"),
            may("instant", FLAG, "Whether to send it at once"),
        ),
        (
            "Send {amount} {currency} to {recipient.name}",
            'Transfer {amount} {currency} to {recipient.name}, account {recipient.iban}, for "{purpose}"',
            "Pay {recipient.name} {amount} {currency} from my {from_account} account",
            (
                'Send {recipient.name}, {recipient.iban}, {amount} {currency} from {from_account} now: "{purpose}".',
                {"instant": True},
            ),
            ("I owe {recipient.name} {amount} {currency}, send it by instant transfer.", {"instant": True}),
            'Wire {amount} {currency} to {recipient.name} with the note "{purpose}"',
        ),
        lambda a, f: {"status": "done", "reference": f.code("TX")},
        "I sent {amount} to {recipient.name}; the reference is {reference}.",
        (
            Ask("Send some money to {recipient.name}.", "How much?", "{amount} {currency}."),
            Ask("Transfer {amount} {currency}.", "To whom?", "To {recipient.name}."),
        ),
    ),
    Task(
        "get_balance",
        "Get the balance of an account",
        (need("account", ACCOUNT, "Which account"), may("include_pending", FLAG, "Whether to count pending payments")),
        (
            "How much money is on my [{account}] account?",
            "What's the balance of my [{account}] account?",
            ("Show the balance of my {account} account including pending payments", {"include_pending": True}),
            "Check my [{account}] account",
        ),
        lambda a, f: {"balance": f.number(20, 9000, 2)},
        "There are ${balance} on your {account} account.",
        (Ask("How much money do I have?", "On which account: checking, savings, joint or business?", "{account}"),),
        "And on my [{account}] account?",
    ),
    Task(
        "pay_bill",
        "Pay a bill now or on a later day",
        (
            need("bill", BILL, "Kind of bill"),
            need("amount", number(15, 400, 2), "Amount in dollars"),
            may("account", ACCOUNT, "Account that pays"),
            may("on_date", DATE, "When to pay, YYYY-MM-DD"),
            may("every_month", FLAG, "Whether to repeat it each month"),
        ),
        (
            "Pay [the {bill} bill of ${amount}]",
            "Pay ${amount} for the {bill} from my {account} account",
            "The {bill} bill is {amount} dollars, pay it on {on_date}.",
            ("Set up a monthly payment of ${amount} for the {bill} bill", {"every_month": True}),
        ),
        lambda a, f: {"confirmation": f.code("P")},
        "The {bill} bill is taken care of: {confirmation}.",
        (Ask("Pay the {bill} bill.", "How much is it?", "${amount}."),),
    ),
    Task(
        "list_transactions",
        "List the payments of an account",
        (
            need("account", ACCOUNT, "Account"),
            nested(
                "period",
                "From when to when",
                need("start", DATE, "First day"),
                need("end", DATE, "Last day"),
                is_required=False,
            ),
            may("min_amount", whole(20, 500, 10), "Only those of at least this amount"),
            may("categories", several(CATEGORY, 1, 3), "Only these categories"),
        ),
        (
            "Show the payments on my [{account}] account",
            "What did I spend on {categories} from my {account} account between {period.start} and {period.end}?",
            "List everything over ${min_amount} on my {account} account",
            "Which payments left my {account} account from {period.start} to {period.end}?",
        ),
        lambda a, f: {"payments": f.whole(2, 40), "sum": f.number(30, 3000, 2)},
        "There were {payments} payments, ${sum} in all.",
        (Ask("Show me my payments.", "Of which account?", "The {account} account."),),
    ),
    Task(
        "add_expense",
        "Record an expense",
        (
            need("amount", number(2, 200, 2), "Amount in dollars"),
            need("category", CATEGORY, "Category"),
            may("date", DATE, "Day, YYYY-MM-DD"),
            may("shared_with", several(PERSON, 1, 3), "People who pay a part"),
            may("note", text(("birthday party", "weekly shop", "winter sale", "team lunch", "broken chain")), "Note"),
        ),
        (
            "I spent [${amount} on {category}].",
            "Add an expense of {amount} dollars for {category} on {date}",
            "Record ${amount} for {category}, shared with {shared_with}",
            "Put ${amount} down as {category}, note: {note}.",
        ),
        lambda a, f: {"left_in_budget": f.whole(5, 400)},
        "Saved. You have ${left_in_budget} left for {category}.",
        (Ask("Add an expense of ${amount}.", "In which category?", "{category}"),),
    ),
    Task(
        "set_budget",
        "Set a monthly budget for a category",
        (
            need("category", CATEGORY, "Category"),
            need("limit", whole(50, 1500, 50), "Dollars a month"),
            may("warn_at_percent", whole(50, 95, 5), "When to warn"),
        ),
        (
            "Set a budget of [${limit} for {category}]",
            "I don't want to spend more than ${limit} a month on {category}.",
            "Limit {category} to {limit} dollars a month and warn me at {warn_at_percent} percent",
        ),
        lambda a, f: {"spent": f.whole(0, 300)},
        "The budget for {category} is ${limit}; you have spent ${spent} so far.",
        (Ask("Set a budget for {category}.", "How much a month?", "{limit} dollars."),),
    ),
    Task(
        "get_stock_price",
        "Get the price of a share",
        (need("company", STOCK, "Company"), may("date", DATE, "Day, YYYY-MM-DD; now if left out")),
        (
            "What's the share price [of {company}]?",
            "How much was a share of {company} on {date}?",
            "How are the [{company}] shares doing?",
            "Get me the stock price [of {company}]",
        ),
        lambda a, f: {"price": f.number(4, 400, 2), "change_percent": f.number(-4, 4)},
        "A share of {company} costs ${price}, a change of {change_percent} percent.",
        (Ask("Look up a share price for me.", "Of which company?", "{company}"),),
        "And [of {company}]?",
    ),
    Task(
        "trade_shares",
        "Buy or sell shares of a company",
        (
            need("company", STOCK, "Company"),
            need("side", one_of("buy", "sell"), "What to do"),
            need("quantity", count(2, 80), "Number of shares"),
            may("limit_price", number(5, 400, 2), "Price limit in dollars"),
        ),
        (
            "I'd like to {side} {quantity} shares of {company}.",
            "Please {side} [{quantity} {company} shares].",
            "Could you {side} {quantity} shares of {company} at {limit_price} dollars?",
        ),
        lambda a, f: {"order": f.code("O"), "price": f.number(5, 400, 2)},
        "The order {order} to {side} {quantity} shares of {company} was placed at ${price}.",
        (Ask("Please {side} some {company} shares.", "How many?", "{quantity}"),),
    ),
    Task(
        "compound_interest",
        "Compute what savings grow to with compound interest",
        (
            need("principal", whole(500, 50000, 500), "Amount at the start"),
            need("yearly_rate", number(1, 8), "Interest in percent"),
            need("years", count(2, 30), "Number of years"),
        ),
        (
            "What do {principal} dollars become at {yearly_rate}% in {years} years?",
            "I put ${principal} away for {years} years at {yearly_rate} percent. How much will I have?",
            "Compute compound interest on [${principal} at {yearly_rate}% over {years} years]",
        ),
        lambda a, f: {"total": round(a["principal"] * (1 + a["yearly_rate"] / 100) ** a["years"], 2)},
        "After {years} years you will have ${total}.",
        (
            Ask(
                "What do ${principal} become at {yearly_rate}% interest?",
                "After how many years?",
                "After {years} years.",
            ),
        ),
    ),
    Task(
        "freeze_card",
        "Freeze a bank card",
        (
            need("last_digits", code("####"), "Last four digits"),
            may("reason", one_of("lost", "stolen", "damaged"), "Why"),
            may("order_new", FLAG, "Whether to order a new card"),
        ),
        (
            "Freeze my card ending in [{last_digits}]",
            "My card {last_digits} was {reason}. Block it.",
            ("Block the card ending in {last_digits} and send me a new one", {"order_new": True}),
        ),
        lambda a, f: {"frozen": True},
        "The card ending in {last_digits} is frozen.",
        (Ask("My card was {reason}, freeze it.", "What are the last four digits?", "{last_digits}"),),
    ),
    Task(
        "invest_in_funds",
        "Invest monthly in several funds",
        (
            need("funds", several(FUND, 2, 3), "Funds"),
            need("monthly_amount", whole(25, 800, 25), "Dollars a month, in all"),
            may("risk", one_of("low", "medium", "high"), "Risk accepted"),
        ),
        (
            "Put ${monthly_amount} a month into {funds}",
            "Invest {monthly_amount} dollars every month in {funds}",
            "I'd like a savings plan for {funds} with {risk} risk and ${monthly_amount} a month.",
        ),
        lambda a, f: {"plan": f.code("SP"), "starts": f"2026-0{f.whole(1, 9)}-01"},
        "Your plan {plan} starts on {starts}.",
        (Ask("Invest in {funds} every month.", "How much a month?", "${monthly_amount}."),),
    ),
)
