/**
 * Lines that say too little, too much, the wrong thing or too large a thing, and the digits of the code that refuses
 * them. `none` in front of a sentence: there is no such line for the verb, and why. Owner sessions, except for verbs that
 * need none.
 */
export const badLines = `
from           missing   3     from
from           missing   3     from:
from           missing   11    from:@
from           missing   3     from:@bob:clientConfig:
from           surplus   3     from:@alice:x
from           surplus   3     from:@alice @bob
from           surplus   3     from:@alice@bob
from           type      3     from:@bob:clientConfig:{"version"
from           type      3     from:@bob:clientConfig:7
from           type      11    from:@a!b
from           range     11    from:@${'a'.repeat(56)}
cram           missing   3     cram
cram           missing   3     cram:
cram           surplus   15    cram:00:00
cram           type      15    cram:not hexadecimal
cram           range     15    cram:${'0'.repeat(9_000)}
pkam           missing   3     pkam
pkam           missing   3     pkam:
pkam           missing   3     pkam:enrollmentId:
pkam           missing   3     pkam:signingAlgo:rsa2048
pkam           surplus   3     pkam:signingAlgo:rsa2048:signingAlgo:rsa2048:AAAA
pkam           type      3     pkam:signingAlgo:md5:AAAA
pkam           type      401   pkam:not base64!
pkam           range     401   pkam:${'A'.repeat(9_000)}
pol            missing   11    pol
pol            surplus   3     pol:@bob
pol            type      none  it takes nothing
pol            range     none  it takes nothing
to             missing   3     to
to             missing   3     to:
to             surplus   3     to:@alice:x
to             type      11    to:@a!b
to             range     11    to:@${'a'.repeat(56)}
update         missing   3     update
update         missing   3     update:
update         missing   3     update:x.wavi@alice
update         missing   16    update:public:
update         missing   3     update:ttl:1 v
update         missing   16    update:x.wavi v
update         missing   3     update:json:
update         missing   3     update:json:{}
update         missing   3     update:json:{"atKey":"x.wavi@alice","value":"v"}
update         surplus   3     update:ttl:1:ttl:2:x.wavi@alice v
update         surplus   3     update:nc:nc:x.wavi@alice v
update         surplus   3     update:bogus:x.wavi@alice v
update         surplus   16    update:public:public:x.wavi@alice v
update         surplus   16    update:@bob:@carol:x.wavi@alice v
update         surplus   16    update:x.wavi@alice@bob v
update         type      3     update:ttl:soon:x.wavi@alice v
update         type      3     update:isBinary:maybe:x.wavi@alice v
update         type      3     update:eAt:tomorrow:x.wavi@alice v
update         type      3     update:appMetadata:AAAA:x.wavi@alice v
update         type      3     update:json:[]
update         type      3     update:json:{"atKey":7,"value":"v","metadata":{"isPublic":false,"isBinary":false,"isEncrypted":false}}
update         type      3     update:json:{"atKey":"x.wavi@alice","value":7,"metadata":{"isPublic":false,"isBinary":false,"isEncrypted":false}}
update         type      3     update:json:{"atKey":"x.wavi@alice","value":"v","metadata":{"isPublic":"no","isBinary":false,"isEncrypted":false}}
update         range     3     update:ttl:-1:x.wavi@alice v
update         range     3     update:ttl:9999999999999999:x.wavi@alice v
update         range     3     update:ttr:-2:x.wavi@alice v
update         range     3     update:eAt:2030-02-30T00:00:00Z:x.wavi@alice v
update         range     16    update:${'x'.repeat(249)}@alice v
update         range     16    update:x.wavi@bob v
update:meta    missing   3     update:meta
update:meta    missing   3     update:meta:
update:meta    missing   3     update:meta:ttl:1
update:meta    surplus   3     update:meta:kept.wavi@alice:ttl:1:ttl:2
update:meta    surplus   3     update:meta:kept.wavi@alice:bogus:1
update:meta    surplus   3     update:meta:kept.wavi@alice v
update:meta    type      3     update:meta:kept.wavi@alice:ttl:soon
update:meta    range     3     update:meta:kept.wavi@alice:ttl:-1
delete         missing   3     delete
delete         missing   3     delete:
delete         missing   3     delete:kept.wavi
delete         missing   3     delete:dAt:kept.wavi@alice
delete         surplus   3     delete:kept.wavi@alice v
delete         surplus   3     delete:nc:nc:kept.wavi@alice
delete         surplus   3     delete:bogus:kept.wavi@alice
delete         type      3     delete:dAt:yesterday:kept.wavi@alice
delete         type      3     delete:priority:urgent:kept.wavi@alice
delete         range     3     delete:dAt:2030-13-01T00:00:00Z:kept.wavi@alice
delete         range     16    delete:kept.wavi@bob
delete         range     9     delete:public:signing_publickey@alice
llookup        missing   3     llookup
llookup        missing   3     llookup:
llookup        missing   3     llookup:all:
llookup        missing   3     llookup:kept.wavi
llookup        surplus   3     llookup:all:meta:kept.wavi@alice
llookup        surplus   3     llookup:kept.wavi@alice:x
llookup        surplus   3     llookup:kept.wavi@alice x
llookup        type      3     llookup:bogus:kept.wavi@alice
llookup        type      16    llookup:k^pt.wavi@alice
llookup        range     16    llookup:${'x'.repeat(249)}@alice
lookup         missing   3     lookup
lookup         missing   3     lookup:all:
lookup         missing   3     lookup:kept.wavi
lookup         surplus   3     lookup:kept.wavi@alice:x
lookup         surplus   3     lookup:bypassCache:true:bypassCache:true:kept.wavi@alice
lookup         type      3     lookup:bypassCache:maybe:kept.wavi@alice
lookup         type      16    lookup:k^pt.wavi@alice
lookup         range     16    lookup:${'x'.repeat(249)}@alice
plookup        missing   3     plookup
plookup        missing   3     plookup:meta:
plookup        missing   3     plookup:kept.wavi
plookup        surplus   3     plookup:kept.wavi@alice:x
plookup        type      3     plookup:bypassCache:maybe:kept.wavi@alice
plookup        type      16    plookup:k^pt.wavi@alice
plookup        range     16    plookup:${'x'.repeat(249)}@alice
scan           missing   3     scan:
scan           missing   3     scan:page:
scan           missing   3     scan:showhidden:
scan           surplus   3     scan:page:1:page:2
scan           surplus   3     scan:@alice:@bob
scan           surplus   3     scan two words
scan           type      3     scan:page:first
scan           type      3     scan:showhidden:maybe
scan           type      3     scan:bogus
scan           type      3     scan (
scan           range     3     scan:page:-1
scan           range     3     scan ${'x'.repeat(513)}
scan           range     3     scan ${'[a-z]{1,1000}'.repeat(30)}
scan           range     3     scan (a?b?){150}c{2}
notify         missing   3     notify
notify         missing   3     notify:
notify         missing   3     notify:@bob
notify         missing   3     notify:@bob:
notify         missing   3     notify:@bob:x.wavi@alice:
notify         missing   3     notify:strategy:latest:@bob:x.wavi@alice:v
notify         surplus   3     notify:ttln:1:ttln:2:@bob:x.wavi@alice:v
notify         surplus   3     notify:ttln:1:eAtn:2030-01-01T00:00:00Z:@bob:x.wavi@alice:v
notify         surplus   3     notify:bogus:1:@bob:x.wavi@alice:v
notify         surplus   3     notify:@bob:@carol:x.wavi@alice:v
notify         type      3     notify:messageType:picture:@bob:x.wavi@alice:v
notify         type      3     notify:priority:urgent:@bob:x.wavi@alice:v
notify         type      3     notify:ttln:soon:@bob:x.wavi@alice:v
notify         type      3     notify:eAtn:tomorrow:@bob:x.wavi@alice:v
notify         type      11    notify:@b!b:x.wavi@alice:v
notify         range     3     notify:ttln:-1:@bob:x.wavi@alice:v
notify         range     3     notify:latestN:0:@bob:x.wavi@alice:v
notify         range     3     notify:id:${'i'.repeat(65)}:@bob:x.wavi@alice:v
notify         range     16    notify:@bob:${'x'.repeat(249)}@alice:v
notify:multi   missing   3     notify:multi
notify:multi   missing   3     notify:multi:@bob
notify:multi   missing   3     notify:multi:@bob:
notify:multi   missing   3     notify:multi:@bob:x.wavi:v
notify:multi   surplus   3     notify:multi:ttr:-1:@bob:x.wavi@alice:v
notify:multi   surplus   3     notify:multi:ttln:1:ttln:2:@bob:x.wavi@alice:v
notify:multi   type      3     notify:multi:ttln:soon:@bob:x.wavi@alice:v
notify:multi   type      3     notify:multi:bob:x.wavi@alice:v
notify:multi   range     3     notify:multi:ttln:-1:@bob:x.wavi@alice:v
notify:multi   range     3     notify:multi:${Array.from({ length: 1_001 }, (_, index) => `@b${index}`).join(',')}:x.wavi@alice:v
notify:all     missing   3     notify:all
notify:all     missing   3     notify:all:@bob
notify:all     missing   3     notify:all:@bob:
notify:all     surplus   3     notify:all:ttl:1:ttl:2:@bob:x.wavi@alice:v
notify:all     surplus   3     notify:all:bogus:@bob:x.wavi@alice:v
notify:all     type      3     notify:all:messageType:picture:@bob:x.wavi@alice:v
notify:all     type      3     notify:all:bob:x.wavi@alice:v
notify:all     range     3     notify:all:ttl:-1:@bob:x.wavi@alice:v
notify:all     range     3     notify:all:${Array.from({ length: 1_001 }, (_, index) => `@b${index}`).join(',')}:x.wavi@alice:v
notify:list    missing   3     notify:list:
notify:list    surplus   3     notify:listx
notify:list    type      3     notify:list:(
notify:list    range     22    notify:list:2026-13-01
notify:list    range     22    notify:list:2026-02-02:2026-01-01
notify:list    range     3     notify:list:${'x'.repeat(513)}
notify:fetch   missing   3     notify:fetch
notify:fetch   missing   3     notify:fetch:
notify:fetch   surplus   none  an id may hold anything
notify:fetch   type      none  an id may hold anything
notify:fetch   range     3     notify:fetch:${'i'.repeat(1_000)}
notify:status  missing   3     notify:status
notify:status  missing   3     notify:status:
notify:status  surplus   none  an id may hold anything
notify:status  type      none  an id may hold anything
notify:status  range     3     notify:status:${'i'.repeat(1_000)}
notify:remove  missing   3     notify:remove
notify:remove  missing   3     notify:remove:
notify:remove  surplus   none  an id may hold anything
notify:remove  type      none  an id may hold anything
notify:remove  range     3     notify:remove:${'i'.repeat(1_000)}
monitor        missing   3     monitor:
monitor        surplus   3     monitor:1:2
monitor        surplus   3     monitor two words
monitor        type      3     monitor:bogus
monitor        type      3     monitor:strict:selfNotifications:soon
monitor        type      3     monitor (
monitor        range     3     monitor:-1
monitor        range     3     monitor:9999999999999999
monitor        range     3     monitor ${'x'.repeat(513)}
sync:from      missing   3     sync
sync:from      missing   3     sync:from
sync:from      missing   3     sync:from:
sync:from      missing   3     sync:from:0:
sync:from      missing   3     sync:from:0:limit:
sync:from      surplus   3     sync:from:0:limit:1:limit:2
sync:from      surplus   3     sync:from:0 x
sync:from      type      3     sync:from:first
sync:from      type      3     sync:from:0:limit:few
sync:from      type      3     sync:from:0:(
sync:from      range     3     sync:from:-2
sync:from      range     3     sync:from:0:limit:-1
sync:from      range     3     sync:from:9999999999999999
batch          missing   3     batch
batch          missing   3     batch:
batch          missing   3     batch:[{}]
batch          missing   3     batch:[{"id":1}]
batch          missing   3     batch:[{"command":"noop:0"}]
batch          surplus   3     batch:[]x
batch          surplus   3     batch:abortOnFailure:abortOnFailure:[]
batch          type      3     batch:{}
batch          type      3     batch:[7]
batch          type      3     batch:[{"id":"one","command":"llookup:kept.wavi@alice"}]
batch          type      3     batch:[{"id":1,"command":7}]
batch          type      3     batch:[{"id":1,"command":"llookup:kept.wavi@alice"}
batch          range     3     batch:[${Array.from({ length: 1_001 }, (_, id) => `{"id":${id},"command":"llookup:kept.wavi@alice"}`).join(',')}]
batch          range     3     batch:[${'['.repeat(10)}${']'.repeat(10)}]
stats          missing   3     stats:
stats          missing   3     stats:3,
stats          surplus   3     stats:1,2:x
stats          surplus   3     stats 3
stats          type      3     stats:three
stats          type      3     stats:3:(
stats          range     3     stats:0
stats          range     3     stats:20
stats          range     3     stats:99999
config         missing   3     config
config         missing   3     config:
config         missing   3     config:block
config         missing   3     config:block:add
config         missing   3     config:block:add:
config         surplus   3     config:block:show:x
config         surplus   3     config:block:add:@bob:@carol
config         type      3     config:block:list
config         type      11    config:block:add:@b!b
config         type      22    config:print:bogus
config         range     11    config:block:add:@${'a'.repeat(56)}
keys           missing   3     keys
keys           missing   3     keys:
keys           missing   3     keys:put
keys           missing   3     keys:put:self:keyName:k v
keys           missing   3     keys:get
keys           surplus   3     keys:get:self:self
keys           surplus   3     keys:get:self:namespace:a:namespace:b
keys           type      3     keys:take:self
keys           type      3     keys:get:theirs
keys           range     16    keys:get:keyName:${'x'.repeat(300)}@alice
stream         missing   3     stream
stream         surplus   3     stream:init:x
stream         type      3     stream:init@bob namespace:wavi one file 2
stream         range     3     stream:resume@bob 99999999999999999999
info           missing   3     info:
info           surplus   3     info:brief:x
info           surplus   3     info brief
info           type      3     info:long
info           range     none  it takes a word out of three
noop           missing   3     noop
noop           missing   3     noop:
noop           surplus   3     noop:0:0
noop           surplus   3     noop:0 0
noop           type      3     noop:soon
noop           range     22    noop:5001
noop           range     3     noop:-1
noop           range     3     noop:9999999999999999
@exit          missing   none  it takes nothing
@exit          surplus   3     @exit:now
@exit          surplus   3     @exit now
@exit          type      none  it takes nothing
@exit          range     none  it takes nothing
`
