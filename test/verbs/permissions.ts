/**
 * Who may send what: `ok`, the digits of the refusing code, or `-` for no answer at all. `cram` and `primary` are the
 * owner by CRAM and by the legacy credential, `r` and `rw` enrollments of the namespace `wavi` alone, `peer` is the
 * atServer of @bob. Pages 01 (section 7), 03 (sections 3 to 11), 07 (9, 15, 16.3) and 08 (section 7).
 *
 * Deviations from the reference, on purpose:
 *  a  A scope in front of the key is understood by `lookup`; the reference doubles the prefix and finds nothing.
 *  b  What a stranger or a peer may not see does not exist for it: AT0015, never AT0009.
 *  c  Expired and unborn records are AT0015, where the reference answers `data:null` (page 06, section 5).
 *  d  `private:` and `privatekey:` names are read by no enrollment; the reference judges some by namespace match.
 *  e  The signing keys are refused to everyone for writing; the reference refuses their removal alone.
 *  f  A reserved name counts when it is the whole name: `my_shared_key.bob` is not a shared key.
 *  g  A peer is told AT0009 for a public notification; a client is told AT0003 instead of a broken delivery.
 *  h  `notify` of a text needs what a key without namespace needs, so that no narrow enrollment speaks for its owner.
 *  i  `plookup` of a key that is shared or cached finds nothing; the reference doubles the prefix.
 *  j  `notify:multi` and `notify:all` are judged without a recipient: a key that is another one for each of them, such
 *     as `shared_key`, needs what a key without namespace needs.
 *
 * `WHO` in a line is the name of its column.
 */
export const table = `
line                                                            anyone  challenged  cram  primary  r     rw    peer

from:@alice                                                     ok      ok          ok    ok       ok    ok    ok
from:@carol                                                     ok      ok          ok    ok       ok    ok    ok
to:@alice                                                       ok      ok          ok    ok       ok    ok    ok
to:@bob                                                         7       7           7     7        7     7     7
cram:00                                                         15      401         15    15       15    15    15
pkam:AAAA                                                       401     401         401   401      401   401   401
pol                                                             11      11          11    11       11    11    11
info                                                            ok      ok          ok    ok       ok    ok    ok
noop:0                                                          ok      ok          ok    ok       ok    ok    ok
stats                                                           401     401         ok    ok       ok    ok    401
monitor                                                         401     401         -     -        -     -     401
@exit                                                           -       -           -     -        -     -     -
notify:status:none                                              401     401         ok    ok       ok    ok    401

notify:list                                                     401     401         ok    ok       ok    ok    ok
notify:fetch:none                                               401     401         ok    ok       ok    ok    401
notify:remove:none                                              401     401         ok    ok       ok    ok    401
notify:status:in-wavi                                           401     401         ok    ok       ok    ok    401
notify:fetch:in-wavi                                            401     401         ok    ok       ok    ok    401
notify:remove:in-wavi                                           401     401         ok    ok       9     ok    401
notify:status:in-buzz                                           401     401         ok    ok       9     9     401
notify:fetch:in-buzz                                            401     401         ok    ok       9     9     401
notify:remove:in-buzz                                           401     401         ok    ok       9     9     401
notify:status:in-text                                           401     401         ok    ok       9     9     401
notify:fetch:in-text                                            401     401         ok    ok       9     9     401
notify:remove:in-text                                           401     401         ok    ok       9     9     401
notify:status:out-wavi                                          401     401         ok    ok       ok    ok    401
notify:fetch:out-wavi                                           401     401         ok    ok       ok    ok    401
notify:remove:out-wavi                                          401     401         ok    ok       9     ok    401
notify:status:out-buzz                                          401     401         ok    ok       9     9     401
notify:fetch:out-buzz                                           401     401         ok    ok       9     9     401
notify:remove:out-buzz                                          401     401         ok    ok       9     9     401
sync:from:-1                                                    401     401         ok    ok       ok    ok    401
batch:[]                                                        401     401         ok    ok       ok    ok    401
batch:[{"id":1,"command":"llookup:phone.wavi@alice"}]           401     401         ok    ok       ok    ok    401
batch:[{"id":1,"command":"llookup:phone.buzz@alice"}]           401     401         ok    ok       9     9     401
batch:[{"id":1,"command":"update:phone.buzz@alice v"}]          401     401         ok    ok       9     9     401
config:block:show                                               401     401         ok    ok       9     9     401
config:block:add:@dave                                          401     401         ok    ok       9     9     401
config:block:remove:@dave                                       401     401         ok    ok       9     9     401
keys:get:self                                                   401     401         11    ok       ok    ok    401
keys:put:self:appName:a:deviceName:d:keyName:WHO v              401     401         11    ok       ok    ok    401
keys:put:public:keyName:WHO v                                   401     401         11    ok       ok    ok    401
keys:get:keyName:public:WHO.__public_keys.__global@alice        401     401         11    ok       ok    ok    401
keys:get:keyName:public:primary.__public_keys.__global@alice    401     401         11    ok       9     9     401
keys:put:public:namespace:buzz:keyName:WHO v                    401     401         11    ok       9     9     401
keys:get:keyName:phone.wavi@alice                               401     401         11    9        9     9     401
keys:delete:keyName:phone.wavi@alice                            401     401         11    9        9     9     401
stream:init@bob namespace:wavi 1 file 2                         3       3           3     3        3     3     3

scan                                                            ok      ok          ok    ok       ok    ok    ok
scan:cl                                                         401     401         ok    ok       ok    ok    401
scan:@alice                                                     ok      ok          ok    ok       ok    ok    ok
scan:@bob                                                       401     401         ok    ok       ok    ok    401

llookup:public:phone.wavi@alice                                 401     401         ok    ok       ok    ok    401
llookup:public:phone.buzz@alice                                 401     401         ok    ok       ok    ok    401
llookup:phone.wavi@alice                                        401     401         ok    ok       ok    ok    401
llookup:phone.buzz@alice                                        401     401         ok    ok       9     9     401
llookup:nospace@alice                                           401     401         ok    ok       9     9     401
llookup:@bob:phone.wavi@alice                                   401     401         ok    ok       ok    ok    401
llookup:@bob:phone.buzz@alice                                   401     401         ok    ok       9     9     401
llookup:@carol:phone.wavi@alice                                 401     401         ok    ok       ok    ok    401
llookup:_hidden.wavi@alice                                      401     401         ok    ok       ok    ok    401
llookup:public:__hidden.wavi@alice                              401     401         ok    ok       ok    ok    401
llookup:cached:@alice:phone.wavi@bob                            401     401         ok    ok       ok    ok    401
llookup:cached:@alice:phone.buzz@bob                            401     401         ok    ok       9     9     401
llookup:public:publickey@alice                                  401     401         ok    ok       ok    ok    401
llookup:@bob:shared_key@alice                                   401     401         ok    ok       ok    ok    401
llookup:shared_key.bob@alice                                    401     401         ok    ok       ok    ok    401
llookup:my_shared_key.bob@alice                                 401     401         ok    ok       9     9     401   f
llookup:private:blocklist@alice                                 401     401         ok    9        9     9     401   d
llookup:privatekey:at_secret                                    401     401         15    9        9     9     401   d
llookup:secret.__manage@alice                                   401     401         ok    9        9     9     401
llookup:event.__atserver@alice                                  401     401         ok    ok       ok    ok    401
llookup:missing.wavi@alice                                      401     401         15    15       15    15    401
llookup:missing.buzz@alice                                      401     401         15    15       9     9     401
llookup:expired.wavi@alice                                      401     401         15    15       15    15    401   c
llookup:unborn.wavi@alice                                       401     401         15    15       15    15    401   c

lookup:phone.wavi@alice                                         ok      ok          ok    ok       ok    ok    ok
lookup:phone.buzz@alice                                         ok      ok          ok    ok       9     9     ok
lookup:nospace@alice                                            15      15          15    15       9     9     15
lookup:public:phone.wavi@alice                                  ok      ok          ok    ok       ok    ok    15    a b
lookup:@bob:phone.wavi@alice                                    15      15          ok    ok       ok    ok    ok    a b
lookup:@bob:phone.buzz@alice                                    15      15          ok    ok       9     9     ok    a b
lookup:@carol:phone.wavi@alice                                  15      15          ok    ok       ok    ok    15    a b
lookup:_hidden.wavi@alice                                       15      15          15    15       15    15    ok
lookup:__hidden.wavi@alice                                      ok      ok          15    15       15    15    15
lookup:cached:@alice:phone.wavi@bob                             15      15          15    15       15    15    15    b
lookup:publickey@alice                                          ok      ok          15    15       9     9     15
lookup:public:publickey@alice                                   ok      ok          ok    ok       ok    ok    15    a b
lookup:shared_key@alice                                         15      15          15    15       15    15    ok
lookup:private:blocklist@alice                                  15      15          ok    9        9     9     15    b d
lookup:privatekey:at_secret                                     15      15          15    15       9     9     15    b d
lookup:secret.__manage@alice                                    15      15          15    9        9     9     15    b
lookup:expired.wavi@alice                                       15      15          15    15       15    15    15    c
lookup:phone.wavi@bob                                           15      15          ok    ok       ok    ok    15    b
lookup:phone.buzz@bob                                           15      15          ok    ok       9     9     15    b

plookup:phone.wavi@alice                                        401     401         ok    ok       ok    ok    401
plookup:phone.buzz@alice                                        401     401         ok    ok       ok    ok    401
plookup:publickey@alice                                         401     401         ok    ok       ok    ok    401
plookup:public:phone.wavi@alice                                 401     401         ok    ok       ok    ok    401   a
plookup:public:publickey@alice                                  401     401         ok    ok       ok    ok    401   a
plookup:_hidden.wavi@alice                                      401     401         15    15       15    15    401
plookup:__hidden.wavi@alice                                     401     401         ok    ok       ok    ok    401
plookup:phone.wavi@carol                                        401     401         7     7        7     7     401
plookup:@carol:phone.wavi@alice                                 401     401         15    15       15    15    401   i
plookup:cached:public:phone.wavi@bob                            401     401         15    15       15    15    401   i
plookup:nospace@alice                                           401     401         15    15       15    15    401
plookup:@bob:phone.wavi@alice                                   401     401         15    15       15    15    401   i
plookup:private:blocklist@alice                                 401     401         15    15       15    15    401   i
plookup:expired.wavi@alice                                      401     401         15    15       15    15    401   c
plookup:phone.wavi@bob                                          401     401         ok    ok       ok    ok    401

notify:@bob:phone.wavi@alice:v                                  401     401         ok    ok       9     ok    9
notify:@bob:phone.buzz@alice:v                                  401     401         ok    ok       9     9     9
notify:@alice:phone.wavi@alice:v                                401     401         ok    ok       9     ok    9
notify:@alice:phone.wavi@bob:v                                  401     401         9     9        9     9     ok
notify:@carol:phone.wavi@bob:v                                  401     401         9     9        9     9     9
notify:public:phone.wavi@alice:v                                401     401         3     3        9     3     9     g
notify:@bob:nospace@alice:v                                     401     401         ok    ok       9     9     9
notify:@bob:_hidden.wavi@alice:v                                401     401         ok    ok       9     ok    9
notify:@bob:shared_key@alice:v                                  401     401         ok    ok       9     ok    9
notify:@bob:publickey@alice:v                                   401     401         ok    ok       9     9     9
notify:@bob:cached:phone.wavi@alice:v                           401     401         16    16       16    16    9
notify:@bob:private:blocklist@alice:v                           401     401         16    16       16    16    9
notify:@carol:phone.wavi@alice:v                                401     401         ok    ok       9     ok    9
notify:phone.wavi@alice:v                                       401     401         3     3        3     3     3
notify:@bob:secret.__manage@alice:v                             401     401         ok    9        9     9     9
notify:delete:@bob:phone.wavi@alice                             401     401         ok    ok       9     ok    9
notify:delete:@bob:phone.buzz@alice                             401     401         ok    ok       9     9     9
notify:all:@bob:phone.wavi@alice:v                              401     401         ok    ok       9     ok    401
notify:all:@bob:phone.buzz@alice:v                              401     401         ok    ok       9     9     401
notify:multi:@bob:phone.wavi@alice:v                            401     401         ok    ok       9     ok    401
notify:multi:@bob:phone.buzz@alice:v                            401     401         ok    ok       9     9     401
notify:all:public:phone.wavi@alice:v                            401     401         3     3        3     3     401
notify:all:@alice:phone.wavi@alice:v                            401     401         ok    ok       9     ok    401
notify:all:@carol:phone.wavi@alice:v                            401     401         ok    ok       9     ok    401
notify:all:@bob:_hidden.wavi@alice:v                            401     401         ok    ok       9     ok    401
notify:all:@bob:shared_key@alice:v                              401     401         ok    ok       9     9     401   j
notify:all:@bob:cached:phone.wavi@alice:v                       401     401         16    16       9     16    401
notify:all:@bob:private:blocklist@alice:v                       401     401         16    16       9     9     401
notify:all:@bob:nospace@alice:v                                 401     401         ok    ok       9     9     401
notify:all:@bob:phone.wavi@bob:v                                401     401         9     9        9     9     401
notify:multi:public:phone.wavi@alice:v                          401     401         3     3        3     3     401
notify:multi:@alice:phone.wavi@alice:v                          401     401         ok    ok       9     ok    401
notify:multi:@carol:phone.wavi@alice:v                          401     401         ok    ok       9     ok    401
notify:multi:@bob:_hidden.wavi@alice:v                          401     401         ok    ok       9     ok    401
notify:multi:@bob:shared_key@alice:v                            401     401         ok    ok       9     9     401   j
notify:multi:@bob:cached:phone.wavi@alice:v                     401     401         16    16       9     16    401
notify:multi:@bob:private:blocklist@alice:v                     401     401         16    16       9     9     401
notify:multi:@bob:nospace@alice:v                               401     401         ok    ok       9     9     401
notify:multi:@bob:phone.wavi@bob:v                              401     401         9     9        9     9     401
notify:messageType:text:@alice:Hello                            401     401         ok    ok       9     9     ok    h

update:public:phone.wavi@alice v                                401     401         ok    ok       9     ok    401
update:public:phone.buzz@alice v                                401     401         ok    ok       9     9     401
update:phone.wavi@alice v                                       401     401         ok    ok       9     ok    401
update:phone.buzz@alice v                                       401     401         ok    ok       9     9     401
update:nospace@alice v                                          401     401         ok    ok       9     9     401
update:@bob:phone.wavi@alice v                                  401     401         ok    ok       9     ok    401
update:@carol:phone.wavi@alice v                                401     401         ok    ok       9     ok    401
update:_hidden.wavi@alice v                                     401     401         ok    ok       9     ok    401
update:public:__hidden.wavi@alice v                             401     401         ok    ok       9     ok    401
update:cached:@alice:phone.wavi@bob v                           401     401         16    16       9     16    401
update:cached:public:phone.wavi@bob v                           401     401         16    16       9     16    401
update:phone.wavi@bob v                                         401     401         16    16       9     16    401
update:public:publickey@alice v                                 401     401         ok    ok       9     9     401
update:public:signing_publickey@alice v                         401     401         9     9        9     9     401   e
update:@bob:shared_key@alice v                                  401     401         ok    ok       9     ok    401
update:shared_key.bob@alice v                                   401     401         ok    ok       9     ok    401
update:my_shared_key.bob@alice v                                401     401         ok    ok       9     9     401   f
update:private:blocklist@alice {}                               401     401         ok    ok       9     9     401
update:private:other.wavi@alice v                               401     401         16    16       9     9     401
update:privatekey:at_secret v                                   401     401         16    16       9     9     401
update:privatekey:at_pkam_publickey v                           401     401         22    9        9     9     401
update:secret.__manage@alice v                                  401     401         ok    9        9     9     401
update:event.__atserver@alice v                                 401     401         ok    9        9     9     401

update:meta:phone.wavi@alice:ttl:0                              401     401         ok    ok       9     ok    401
update:meta:phone.buzz@alice:ttl:0                              401     401         ok    ok       9     9     401
update:meta:@bob:phone.wavi@alice:ttl:0                         401     401         ok    ok       9     ok    401
update:meta:cached:@alice:phone.wavi@bob:ttl:0                  401     401         16    16       9     16    401
update:meta:public:signing_publickey@alice                      401     401         9     9        9     9     401   e
update:meta:public:phone.wavi@alice:ttl:0                       401     401         ok    ok       9     ok    401
update:meta:nospace@alice:ttl:0                                 401     401         ok    ok       9     9     401
update:meta:@carol:phone.wavi@alice:ttl:0                       401     401         ok    ok       9     ok    401
update:meta:_hidden.wavi@alice:ttl:0                            401     401         ok    ok       9     ok    401
update:meta:public:__hidden.wavi@alice:ttl:0                    401     401         ok    ok       9     ok    401
update:meta:public:publickey@alice:ttl:0                        401     401         ok    ok       9     9     401
update:meta:@bob:shared_key@alice:ttl:0                         401     401         ok    ok       9     ok    401
update:meta:private:blocklist@alice:ttl:0                       401     401         ok    ok       9     9     401
update:meta:privatekey:at_secret:ttl:0                          401     401         3     3        3     3     401
update:meta:secret.__manage@alice:ttl:0                         401     401         ok    9        9     9     401
update:meta:phone.wavi@bob:ttl:0                                401     401         16    16       9     16    401

delete:public:phone.wavi@alice                                  401     401         ok    ok       9     ok    401
delete:public:phone.buzz@alice                                  401     401         ok    ok       9     9     401
delete:phone.wavi@alice                                         401     401         ok    ok       9     ok    401
delete:phone.buzz@alice                                         401     401         ok    ok       9     9     401
delete:nospace@alice                                            401     401         ok    ok       9     9     401
delete:@bob:phone.wavi@alice                                    401     401         ok    ok       9     ok    401
delete:@carol:phone.wavi@alice                                  401     401         ok    ok       9     ok    401
delete:_hidden.wavi@alice                                       401     401         ok    ok       9     ok    401
delete:public:__hidden.wavi@alice                               401     401         ok    ok       9     ok    401
delete:cached:@alice:phone.wavi@bob                             401     401         ok    ok       9     ok    401
delete:cached:@alice:phone.buzz@bob                             401     401         ok    ok       9     9     401
delete:cached:public:phone.wavi@bob                             401     401         ok    ok       9     ok    401
delete:phone.wavi@bob                                           401     401         16    16       9     16    401
delete:public:publickey@alice                                   401     401         9     9        9     9     401
delete:@bob:shared_key@alice                                    401     401         ok    ok       9     ok    401
delete:private:blocklist@alice                                  401     401         ok    ok       9     9     401
delete:privatekey:at_pkam_publickey                             401     401         3     9        9     9     401
delete:privatekey:at_secret                                     401     401         ok    ok       9     9     401
delete:secret.__manage@alice                                    401     401         ok    9        9     9     401
delete:event.__atserver@alice                                   401     401         ok    9        9     9     401
`

/**
 * Which records a listing shows to whom, by these letters; `-` for none, or the digits of the refusing code. P,
 * S, B and K are of the namespace that the narrow enrollments do not have. The commit log names expired and unborn records until
 * they are swept. Pages 03 (section 11), 04 (2), 07 (11) and 08 (7.2).
 */
export const letters: Readonly<Record<string, string>> = {
  p: 'public:phone.wavi@alice',
  P: 'public:phone.buzz@alice',
  s: 'phone.wavi@alice',
  S: 'phone.buzz@alice',
  b: '@bob:phone.wavi@alice',
  B: '@bob:phone.buzz@alice',
  c: '@carol:phone.wavi@alice',
  h: '_hidden.wavi@alice',
  g: '@bob:_hidden.wavi@alice',
  i: 'public:__hidden.wavi@alice',
  k: 'cached:@alice:phone.wavi@bob',
  K: 'cached:@alice:phone.buzz@bob',
  r: 'public:publickey@alice',
  R: '@bob:shared_key@alice',
  X: 'private:blocklist@alice',
  Y: 'secret.__manage@alice',
  e: 'expired.wavi@alice',
  u: 'unborn.wavi@alice',
  E: 'event.__atserver@alice',
}

export const listings = `
line                     anyone  challenged  cram                primary            r               rw              peer

scan                     pPr     pPr         pPsSbBcgkKrRYE      pPsSbBcgkKrRE      pPsbcgkrRE      pPsbcgkrRE      bBgR
scan:showhidden:true     pPr     pPr         pPsSbBchgikKrRYE    pPsSbBchgikKrRE    pPsbchgikrRE    pPsbchgikrRE    bBgR
scan:cl                  401     401         pPsSbBcgkKrRYeuE    pPsSbBcgkKrReuE    pPsbcgkrReuE    pPsbcgkrReuE    401
scan:cl:showhidden:true  401     401         pPsSbBchgikKrRYeuE  pPsSbBchgikKrReuE  pPsbchgikrReuE  pPsbchgikrReuE  401
sync:from:-1:limit:1000  401     401         pPsSbBchgikKrReuE   pPsSbBchgikKrReuE  pPsbchgikrReuE  pPsbchgikrReuE  401
stats:15                 401     401         pPsSbBchgikKrReuE   pPsSbBchgikKrReuE  pPsbchgikrReuE  pPsbchgikrReuE  401
`
