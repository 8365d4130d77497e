"""Grammars of custom tools that several tests share, and texts for and against them."""

from __future__ import annotations

from apis.rules.custom_tools import custom_function
from core.conversation import Function, ResponseFormat

PARAM = "tools[0].custom.format.grammar.definition"
APPLY_PATCH = r"""start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
"""
ARITHMETIC = r"""start: sum
sum: product (("+" | "-") product)*
product: atom (("*" | "/") atom)*
atom: NUMBER | "(" sum ")"
NUMBER: /[0-9]{1,3}/
%ignore /[ \t]{1,2}/
"""
SQL = r"""
// A query of one table.
start: "SELECT " columns " FROM " NAME where? ";"
columns: "*" | NAME (", " NAME)*
where: " WHERE " condition (" AND " condition)*
condition: NAME (" = " | " < ") value
value: STRING | /[0-9]{1,4}/
NAME: /[a-z_]{1,8}/ | QUOTED
QUOTED: /"[^"\\]{1,6}"/
STRING: /'[^']{0,9}'/
"""
QUOTES = r"""start: line+
line: KEY "=" VALUE "\n"
KEY: /[a-z]{1,4}/
VALUE: /"([^"\\\n]|\\["\\nt])*"/
"""
GBNF = 'root ::= item+\nitem ::= "- " [^\\r\\n\\x0b]{1,9} "\\n"\n'
TIMESTAMP = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9]"
PATCH = '*** Begin Patch\n*** Add File: a/b c.py\n+x = "\\n\té"\n+\n*** Update File: z\n@@\n-a\n+b\n*** End Patch'
LARK = {"patch": APPLY_PATCH, "sums": ARITHMETIC, "sql": SQL, "quotes": QUOTES, "gbnf": GBNF}
TEXTS = {
    "patch": (PATCH, PATCH + "\n"),
    "sums": ("1", "( 1+2 )*3", "12 \t-(3)"),
    "sql": ("SELECT * FROM t;", 'SELECT a, "b c" FROM "t\n" WHERE x = \'it "is"\\\' AND y < 9;'),
    "quotes": ('a=""\nbc="x\\"\\n"\n', 'a="\t/é"\n'),
    "gbnf": ("- a\n", '- "\\\t\n- 北京\n'),
}
WRONG = {
    "patch": ("", PATCH[1:], PATCH + "\n\n", PATCH.replace("+b", "b"), "*** Begin Patch\n*** End Patch"),
    "sums": ("", "1+", "(1", "1234", "1 + a"),
    "sql": ("SELECT", "SELECT * FROM t", "SELECT * FROM t WHERE x = 'a;", 'SELECT "a\\" FROM t;'),
    "quotes": ("", 'a="', 'a="\n"\n', 'a="\\x"\n', 'a=""'),
    "gbnf": ("", "- \n", "- a", "a\n"),
}


def lark(grammar: str) -> ResponseFormat:
    return ResponseFormat("grammar", grammar=grammar, param=PARAM)


def regex(pattern: str) -> ResponseFormat:
    return ResponseFormat("regex", pattern=pattern, param=PARAM)


def custom(input_format: ResponseFormat, name: str = "write") -> Function:
    return custom_function(name, "Write a text.", input_format)
