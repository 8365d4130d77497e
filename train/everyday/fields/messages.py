"""Tasks about mail, chat, phone calls and contacts."""

from __future__ import annotations

from train.everyday.proper_names import FIRST_NAMES
from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import DAY, EMAIL, FLAG, FULL_NAME, PERSON, PHONE, count, one_of, several, text
from train.everyday.vocabulary import EVENTS, FILES, MESSAGES, SENTENCES, TOPICS

BODY = text(MESSAGES)
SUBJECT = text(("Quarterly report", "Weekend plans", "Invoice 2041", "Travel budget", "Meeting notes", "New logo"))
CHANNEL = text(("general", "design", "support", "random", "marketing", "release", "help-desk"))
LABEL = text(("work", "family", "receipts", "travel", "newsletters", "important", "school"))

FIELD = (
    Task(
        "send_email",
        "Send an email",
        (
            need("to", EMAIL, "Address of the recipient"),
            need("subject", SUBJECT, "Subject line"),
            need("body", BODY, "Text of the mail"),
        ),
        (
            'Send an email to {to} with the subject "{subject}" saying "{body}"',
            'Email {to}, subject "{subject}": {body}.',
            'Write a mail to {to}. The subject is "{subject}" and the text "{body}".',
        ),
        lambda a, f: {"status": "sent", "message_id": f.code("M")},
        'Your mail "{subject}" has been sent to {to}.',
        (
            Ask('Email {to} that "{body}".', "What should the subject be?", "{subject}"),
            Ask('Send a mail with the subject "{subject}", text: {body}.', "To which address?", "{to}"),
        ),
    ),
    Task(
        "send_text",
        "Send a text message to a contact",
        (need("contact", PERSON, "Name of the contact"), need("message", BODY, "The message")),
        (
            'Text {contact} "{message}"',
            "Send {contact} a text saying {message}",
            "Tell [{contact}] by text that {message}.",
            "Text [{contact}]: {message}.",
        ),
        lambda a, f: {"delivered": True},
        'I texted {contact}: "{message}".',
        (
            Ask("Send a text to {contact}.", "What should it say?", "{message}"),
            Ask('Text someone for me: "{message}".', "Who should get it?", "{contact}"),
        ),
    ),
    Task(
        "find_contact",
        "Look up a person's phone number and mail address in the contacts",
        (need("name", FULL_NAME, "Name of the person"),),
        (
            "What's [{name}]'s phone number?",
            "Look up [{name}] in my contacts",
            "Do I have a number for {name}?",
            "How can I reach {name}?",
        ),
        lambda a, f: {"phone": f"555 {f.whole(100, 999)} {f.whole(1000, 9999)}"},
        "{name}'s number is {phone}.",
        (Ask("I need somebody's phone number.", "Whose?", "{name}'s."),),
        "And [{name}]'s?",
    ),
    Task(
        "add_contact",
        "Save a new contact",
        (
            need("name", FULL_NAME, "Full name"),
            need("phone", PHONE, "Phone number"),
            may("email", EMAIL, "Mail address"),
            may("group", one_of("family", "friends", "work"), "Group of the contact"),
        ),
        (
            "Save [{name}, {phone}] in my contacts.",
            "Add {name} to my contacts, phone {phone}",
            "New contact: {name}, number {phone}, email {email}.",
            "Add {name} to my {group} contacts with the number {phone}",
        ),
        lambda a, f: {"contact_id": f.code("C")},
        "{name} is now in your contacts.",
        (Ask("Add {name} to my contacts.", "What is the phone number?", "It's {phone}."),),
    ),
    Task(
        "call_number",
        "Start a phone call to a number",
        (need("number", PHONE, "Phone number"), may("speaker", FLAG, "Whether to use the loudspeaker")),
        ("Call {number}", "Dial {number} for me, please.", ("Call {number} on speaker", {"speaker": True})),
        lambda a, f: {"status": "ringing"},
        "Calling {number} now.",
        (Ask("Make a call for me.", "Which number shall I dial?", "{number}"),),
    ),
    Task(
        "search_mail",
        "Search the mailbox",
        (
            may("sender", PERSON, "Who wrote it"),
            may("about", text(TOPICS), "Words in the mail"),
            may("unread_only", FLAG, "Only mails that were not read yet"),
        ),
        (
            "Find mails from [{sender}]",
            "Do I have any mail about {about}?",
            "Search my inbox for mails from {sender} about {about}",
            ("Show me unread mails from [{sender}]", {"unread_only": True}),
        ),
        lambda a, f: {"found": f.whole(1, 9)},
        "I found {found} matching mails.",
    ),
    Task(
        "post_to_channel",
        "Post a message in a team chat channel",
        (need("channel", CHANNEL, "Channel, without #"), need("text", BODY, "Message"), may("pin", FLAG, "Pin it")),
        (
            'Post "{text}" in [the {channel} channel]',
            "Tell [the {channel} channel] that {text}.",
            ('Post "{text}" in the {channel} channel and pin it', {"pin": True}),
        ),
        lambda a, f: {"posted": True, "members": f.whole(4, 80)},
        "Posted to {members} members of the {channel} channel.",
        (Ask('Post this to the team: "{text}"', "In which channel?", "{channel}"),),
    ),
    Task(
        "block_number",
        "Block calls from a phone number",
        (need("number", PHONE, "Number to block"),),
        (
            "Block calls from [{number}]",
            "{number} keeps calling me, block it.",
            "I don't want calls from {number} anymore.",
        ),
        lambda a, f: {"blocked": True},
        "{number} can no longer call you.",
        (Ask("Someone keeps calling me, block them.", "Which number should I block?", "{number}"),),
    ),
    Task(
        "set_out_of_office",
        "Turn on an automatic mail reply until a day",
        (need("until", DAY, "Last day, as said"), need("message", text(SENTENCES), "Text of the reply")),
        (
            'I am away until {until}. Set my out of office to "{message}".',
            'Turn on my automatic reply until {until}: "{message}".',
        ),
        lambda a, f: {"active": True},
        "Your automatic reply is on until {until}.",
        (Ask('Set up an automatic reply: "{message}".', "Until when?", "Until {until}."),),
    ),
    Task(
        "schedule_message",
        "Send a text message at a later time",
        (
            nested("recipient", "Who gets it", need("name", PERSON, "Name"), need("phone", PHONE, "Phone number")),
            need("message", BODY, "The message"),
            need("delay_minutes", count(5, 90), "Minutes to wait"),
        ),
        (
            'In {delay_minutes} minutes, text {recipient.name} at {recipient.phone}: "{message}".',
            'Send "{message}" to {recipient.name} ({recipient.phone}) in {delay_minutes} minutes',
        ),
        lambda a, f: {"scheduled": True},
        "{recipient.name} will get your message in {delay_minutes} minutes.",
        (
            Ask(
                'Text {recipient.name} at {recipient.phone} later: "{message}".',
                "In how many minutes?",
                "In {delay_minutes} minutes.",
            ),
        ),
    ),
    Task(
        "create_group_chat",
        "Open a group chat with several people",
        (
            need("title", text(("Road trip", "Book club", "Flat 12", "Sunday football", "Grandma's 80th")), "Title"),
            need("members", several(text(FIRST_NAMES), 2, 4), "Names of the members"),
        ),
        (
            'Start a group chat called "{title}" with {members}',
            'Make a group "{title}" and add {members}',
            'I want a group chat with {members}, name it "{title}".',
        ),
        lambda a, f: {"chat_id": f.code("G"), "size": len(a["members"]) + 1},
        'The group "{title}" is ready; with you it has {size} members.',
        (Ask("Open a group chat with {members}.", "What should it be called?", "{title}"),),
    ),
    Task(
        "label_mails",
        "Put a label on all mails of a sender",
        (need("sender", EMAIL, "Address of the sender"), need("label", LABEL, "The label")),
        ("Label everything from [{sender}] as {label}", "Put the label {label} on mails from [{sender}]"),
        lambda a, f: {"labelled": f.whole(2, 60)},
        "I labelled {labelled} mails from {sender} as {label}.",
        (Ask("Label all mails from {sender}.", "Which label?", "{label}"),),
    ),
    Task(
        "forward_attachment",
        "Forward a file from the mailbox to somebody",
        (need("file_name", text(FILES), "Name of the attached file"), need("to", EMAIL, "Address")),
        (
            "Forward {file_name} to [{to}]",
            "Send the attachment [{file_name}] on to {to}",
            "{to} needs {file_name}, forward it.",
        ),
        lambda a, f: {"forwarded": True},
        "I forwarded {file_name} to {to}.",
        (Ask("Forward {file_name}, please.", "To which address?", "{to}"),),
    ),
    Task(
        "invite_to_video_call",
        "Invite people to a video call",
        (
            need("invitees", several(EMAIL, 2, 3), "Mail addresses"),
            need("topic", text(EVENTS), "What it is about"),
            may("record", FLAG, "Whether to record it"),
        ),
        (
            "Invite {invitees} to a video call about the {topic}",
            ("Set up a video call about the {topic} with {invitees} and record it", {"record": True}),
            ("Start a video call with {invitees} about the {topic}, no recording.", {"record": False}),
        ),
        lambda a, f: {"link": f"https://call.example/{f.code('r')}"},
        "The invitations are out. The link is {link}.",
    ),
)
