"""Words that people use, and the words that descriptions of functions use for the same things.

bench/results/tool_search.md has what the table gains.
"""

from __future__ import annotations

from collections.abc import Iterator

# What people say, a colon, and what functions say instead or besides.
_TABLE = """
abstract summary summarise summarize: abstract summary
address street: location geocode place address
again: retry restart rerun
alarm timer wake: alarm
allow let grant: permission rule allow create
answer reply respond: reply comment message
approve accept: approve
ask: question
assign hand delegate: assign
attach: upload attachment
back previous: rollback back previous version
backup: snapshot backup
block forbid prevent forbidden: protect restriction permission
bookmark favourite favorite star: star
build ci job: pipeline job build workflow
buy purchase: order

calorie food eat nutrition: nutrition food
certificate ssl tls: certificate
change edit modify correct fix adjust turn switch: update edit set
chat conversation: message chat channel
cite citation bibliography reference: citation
clear empty: delete clear
click press tap push: click press button
code source: code codebase
column row: field record column table
combine join: merge
comment: comment note
compare difference changed change: diff
compute calculate: execute code
coordinate: latitude longitude geocode
copy duplicate clone: copy fork clone duplicate
cost price cheap expensive pay: price pricing cost
customer client: customer contact
database db: database
debt asset liability: balance financial
delete drop: remove delete drop
distance far long: distance
domain: zone domain
draw plot paint graph visualize diagram: generate chart image
drive route way car travel bus train station walk: directions route
dollar euro pound money: money currency
due today deadline: date
elevation height altitude high: elevation
enlarge bigger resize scale grow: update scale resize
entry: record entry item
example sample: template example sample
excel csv: spreadsheet table
exception bug crash: error log crash
expose tunnel reach: port forward
fail failed crash wrong broken error: log error failed
fake pretend simulate: mock emulate override
file report: create issue
film clip video movie: video
find where lookup: search find
flight fly plane: flight airport
folder directory: directory
gps: location
help documentation manual doc: documentation docs
hierarchy: organization tree
history earlier past: history
hotspot connection: connection
hour spent: worklog time
internet online web google: web search
invoice receipt bill: invoice
ip firewall: firewall
k8s: kubernetes kubectl
landscape portrait rotate: orientation
late slow fast speed performance: performance
log: logs events
login sign: login authenticate
mail email inbox: email message gmail send
many number total: count
mark: update set mark
math sum plus: sum
meeting appointment invite: calendar event
member belong: member
memory leak ram: memory heap
mongo: mongodb
move: move transition update
mr: merge request
mute ignore: subscription notification ignore
name username: user
near nearest nearby around: local place location closest
new make: create add generate
news headline: news article
note: note content
often popular reads: statistic view count
open: create launch navigate open
outage down broken status: health status
paper study trial research: article paper
password secret credential token: secret credential
people person somebody colleague member: user member entity
percent percentage proportion: pie chart
permission right access role allowed: permission role access
phone iphone android smartphone tablet: mobile device
picture photo image icon: image
pod deployment namespace cluster: kubernetes kubectl
popup alert dialog: dialog
pr: pull request
print printed output: output log
program app application software: process app
provision setup: create
push: send push
put: add create set insert upload put
question answer who: search
recent lately: recent list
regex pattern: grep glob pattern
remind reminder remember: reminder memory task entity
remove erase rid unneeded: delete remove
rename: move update rename
replace swap: edit replace update
replica instance: scale instance
repo repository: repository
restaurant shop cafe bar hotel: place local
revenue profit income earnings: income financial statement
row: record document row
run rerun execute launch: execute trigger run command
screen: screen screenshot
settings setting option preference: config setting
share publish: permission share
ship deploy: deploy rollout
show see view display look read give check tell: list get read
shut kill quit: stop terminate kill close
simulator iphone ipad: sim ios
site website web page: page web url
sleep wait pause: wait sleep
speech aloud audio voice: speech audio text
spend bill: cost price
stage staged commit: git
start begin launch: create run trigger launch start
stock share trading ticker: stock ticker quote price financial
stop end halt: stop cancel terminate
style color colour font: style css
swipe scroll: scroll swipe wheel
symptom disease drug medical doctor clinical patient: pubmed article
tag: tag label
team group: team group member
tell post say announce inform notify: send message post comment
terminal shell console bash: command terminal execute
test tests: test
text sms: sms message
thumb emoji like: reaction emoji
tick done finish finished close: complete transition done update status
ticket bug task: issue task
todo: todo task
traffic load stress: load test
transcribe listen recording: speech recognize audio
tree structure layout: tree list
type enter fill: type fill
undo revert revoke: delete remove rollback restore
verify valid lint: validate lint check
version release newest latest: version release latest
vm server machine virtual: vm server
vulnerable vulnerability cve leak: security alert vulnerability secret
watch follow subscribe: watch subscribe
umbrella sunny cold warm hot weather: forecast weather rain
website domain: zone
what which whose: list get search
when schedule: time date schedule
who: user member
write save store keep: create write file put save
zip compress: gzip compress
"""

# Words of questions that tell nothing about functions, besides the stop words of the search library.
QUESTION_WORDS = """
also could get give let like make may need please show tell us use used using want whether would
"""


def spoken_words() -> Iterator[tuple[str, list[str]]]:
    """Yield each word that people use, with the words that functions use."""
    for line in _TABLE.strip().splitlines():
        said, _, meant = line.partition(":")
        for word in said.split():
            yield word, meant.split()
