/** Every bound of the server, with the reason for its size. Bytes, counts and milliseconds. */
export const limits = {
  /** Command with its LF on an owner or peer session: the size every released client assumes (page 01, 6.1). */
  lineBytes: 10_240_000,
  /** Long lines of all peers together until they are answered, and as much again for their replies: three of the longest. */
  peerLineBytes: 33_554_432,
  /** Command on an open session: the longest legitimate one is a pkam with a post-quantum signature (page 08, 2.2). */
  openLineBytes: 16_384,
  /** Inbound connections; one more gets AT0012 (page 01, 6.2). */
  inboundConnections: 200,
  /** Of one remote address: half of the places, so that no machine has them all. A home behind one address needs fewer. */
  connectionsPerAddress: 100,
  /** Of one proven atSign: released servers open a few at one time, each for one request after the other. */
  connectionsPerPeer: 16,
  /** Longest time one command may take, waits for peers included. */
  commandMs: 60_000,
  /** Refused lines after which a connection that has proved nothing is closed. */
  strangerErrors: 100,
  /** Sessions that this server opens to others at one time. */
  outboundConnections: 200,
  /** Idle time of a connection that has proved nothing. */
  openIdleMs: 600_000,
  /** The same when all places are taken; in between it shrinks evenly (page 01, 6.2). */
  openIdleLeastMs: 5_000,
  /** Idle time of owner and peer sessions. */
  authenticatedIdleMs: 600_000,
  /** The same when all places are taken. */
  authenticatedIdleLeastMs: 60_000,
  /** A connection must finish its TLS handshake in this time. */
  handshakeMs: 30_000,
  /** Lines waiting on one connection behind the one that runs; reading stops there until some are answered. */
  pipelinedLines: 1_000,
  /** Characters of those lines; reading stops there. */
  pipelinedChars: 1_048_576,
  /** The same on connections of anybody else: all 200 of them together hold 25 MiB. */
  pipelinedCharsOfOthers: 131_072,
  /** Lookups that are remembered parsed and with their answers, which take some 1,000 bytes each; up to as many more besides. */
  rememberedLines: 1_536,
  /** Memory for places where pages of `scan` ended, in bytes: some hundred; a forgotten one is counted off anew. */
  pageEndBytes: 131_072,
  /** Writes of one connection that wait for their commit at the same time, and share a flash write. */
  overlappingCommands: 128,
  /** Most bytes of one TLS record: LF and prompt must leave in the same one (page 01, section 4). */
  tlsRecordBytes: 16_384,
  /** Bytes waiting to be sent to one client; reading stops there. */
  unsentBytes: 1_048_576,
  /** A closing connection may take this long to take its last bytes and to close its side. */
  lingerMs: 2_000,
  /** A monitor that leaves this many bytes unread is closed; it resumes from its last notification. */
  monitorBacklogBytes: 4_194_304,
  /** A monitor that takes nothing of its history for this long is closed; a slow one is waited for. */
  monitorStillMs: 60_000,
  /** Challenges and published proofs live this long (specification: challenge lifetime). */
  challengeMs: 60_000,
  /** Proofs held for peers at one time; older ones give way. */
  proofs: 1_000,
  /** Longest stored key in UTF-16 units; the cached form of a key may be longer by its prefix (page 03, 1.3). */
  keyLength: 248,
  cachedKeyLength: 255,
  /** atSign with its `@` (page 06, section 1). */
  atSignLength: 55,
  /** Longest `noop` (page 01, 9.2). */
  noopMs: 5_000,
  /** Life of a notification that names none (reference 3.17: notificationExpiryInMins). */
  notificationMs: 900_000,
  /** Longest life of a notification (draft of October 2026: 8 days). */
  notificationMaxMs: 691_200_000,
  /** How long notifications are kept that wait no more: as long as the longest lives. */
  notificationKeepMs: 691_200_000,
  /** What all notifications may take together: some hundred thousand; a flood of many peers must not fill a card. */
  notificationLogBytes: 268_435_456,
  /** Keys of one pair that are kept after its recipient had a new encryption key, to read what was written before. */
  retiredPairKeys: 8,
  /** Copies that one round of refreshing asks for; the others wait for the next round. */
  refreshedCopies: 5_000,
  /** Those of one owner among them, so that an owner with many does not keep the others from being asked. */
  refreshedCopiesPerOwner: 500,
  /** Wait for one reply of a peer; a reference peer dials back before it answers (page 08, 11.2). */
  peerReplyMs: 10_000,
  /** Wait for a TCP and TLS connection to a peer or directory. */
  dialMs: 10_000,
  /** Notifications on their way to one peer before the first is answered: enough for a flash write and a long way. */
  deliveryWindow: 128,
  /** Characters of them; nothing more leaves until some are answered. One longer notification goes alone. */
  deliveryChars: 1_048_576,
  /** Recipients for whom nothing waits whose lane is kept, so that what comes for them next need not be read from the store. */
  idleLanes: 64,
  /** Life of an ephemeral notification, which bounds the memory it takes (draft of October 2026). */
  ephemeralMs: 120_000,
  /** Ephemeral notifications held at one time; the oldest of whoever holds most give way. */
  ephemeralCount: 4_096,
  /** Characters of their keys, values and metadata. */
  ephemeralChars: 4_194_304,
  /** Recipients of one `notify:multi` or `notify:all`. */
  recipients: 1_000,
  /** Notifications waiting for one peer; one more is refused. */
  outboxPerPeer: 10_000,
  /** What a card bears in its life unless told: 32 GB, 1,000 erasures of each cell, three bytes inside for one outside. */
  enduranceBytes: 10_000_000_000_000,
  /** The floor of the clock goes to flash with other changes at most this often: so much time a power cut may repeat. */
  clockFloorMs: 600_000,
  /** Changes in `interval` mode are on flash after this time: so much a power cut may cost, and a write of the flash is shared by all of them. */
  syncIntervalMs: 2_000,
  /** Notifications of one sender: more than an hour's worth of 20 readings a second. With more, its oldest give way. */
  receivedPerPeer: 100_000,
  /** Their bytes, so that no peer fills the disk of others. */
  receivedBytesPerPeer: 67_108_864,
  /** None goes that arrived within this time, long enough for the owner's clients to be told: a peer that is faster waits. */
  receivedKeepMs: 10_000,
  /** Copies of records that one atSign shares, and their bytes; more are refused. */
  copiesPerPeer: 20_000,
  copiesBytesPerPeer: 67_108_864,
  /** Entries of one `sync:from` page that names no limit (reference: syncPageLimit). */
  syncPageLimit: 100,
  /** Bytes of a page of `sync:from` or `notify:list`; its first entry goes out whatever its size (reference: syncBufferSize). */
  pageBytes: 5_242_880,
  /** What stands behind `data:`, so that the whole reply is no longer than official clients read: as long as `lineBytes`. */
  replyBytes: 10_239_744,
  /** Keys of one page of `scan:page:`. */
  scanPageKeys: 1_000,
  /** Commands of one `batch`. */
  batchCommands: 1_000,
  /** Arrays and objects inside one another in the document of a `batch`, which needs two. */
  batchDepth: 8,
  /** Bytes of the answers in one `batch`: its reply has to fit into what clients read (page 01, 6.1). */
  batchReplyBytes: 8_388_608,
  /** Blocked atSigns: the list is read at every `from`, which needs no login. */
  blockedAtSigns: 1_000,
  /** Keys, and atSigns, whose visits are counted at one time; the rarest give way. */
  visitCounters: 1_000,
  /** Visits are written to flash at most this often. */
  visitsMs: 600_000,
  /** Arrays and objects inside one another in an `appMetadata` document. */
  appMetadataDepth: 32,
  /** Path and query of an HTTP request, percent-encoded (page 07, 18.2). */
  uriLength: 1_000,
  /** Request line and headers of an HTTP request: eight times the longest URI. */
  httpHeaderBytes: 8_192,
  /** An HTTP client must bring its first or next request, or take an answer, in this time. */
  httpMs: 60_000,
  /** An HTTP connection without a request is closed after this time: it holds a place that others want. */
  httpKeepAliveMs: 5_000,
  /** Requests on one HTTP connection. */
  httpRequests: 1_000,
  /** One WebSocket message; it is held whole before anybody has proved anything. Commands may span several. */
  webSocketMessageBytes: 1_048_576,
  /** Time between pings on a WebSocket; one unanswered ends it. */
  webSocketPingMs: 60_000,
  /** Request line on the control socket: a command with its arguments. */
  controlLineBytes: 65_536,
  /** Connections on the control socket; several commands and a running backup side by side. */
  controlConnections: 16,
  /** A control connection must bring its request line in this time: a command writes it at once. */
  controlRequestMs: 5_000,
  /** Bytes of one piece of a stream on the control socket, before base64. */
  controlPieceBytes: 65_536,
  /** Longest answer line that a control client takes: a long list as JSON. */
  controlAnswerBytes: 33_554_432,
  /** First line of a snapshot: it names an atSign and a few numbers. */
  snapshotHeaderBytes: 1_024,
  /** One block of a snapshot: larger than the largest value, which is a command with its metadata. */
  snapshotBlockBytes: 16_777_216,
  /**
   * Commit ids left out after a restore. What was issued after the snapshot was taken is not known any more and must not
   * be issued again (page 04, section 1): three years at 10,000 changes a second, and 9,000 restores before 2^53.
   */
  restoreCommitGap: 1_000_000_000_000,
  /** Commit ids left out more at a start that meets damage and finds such a gap already: a day at 10,000 changes a second. */
  furtherCommitGap: 1_000_000_000,
  /** Findings of damage that a report names one by one. */
  reportedFindings: 100,
  /** Steps of starts that a report holds, the latest: a device that starts again and again adds to them. */
  reportedSteps: 20,
  /** How long a report of losses outlives restarts once the owner was told: a week away from the device. */
  reportMs: 7 * 86_400_000,
  /** How long a copy of a database is kept from before it was put right. */
  asideMs: 30 * 86_400_000,
  /** Damaged values whose bytes are kept; the first are worth most. */
  quarantined: 256,
  /** Bytes kept of each. */
  quarantinedBytes: 4_096,
  /** Bytes read in one go by the check of everything stored: a few milliseconds of work. */
  scrubBytes: 65_536,
  /**
   * Bytes of tables, the newest, that are looked through before the store opens: some 40 ms, or 7 when a run that was
   * stopped has noted their sums. All of them after a run that ended, perhaps, of damage, which a power cut alone does
   * not do; the others in the background.
   */
  verifyAtOpenBytes: 16_777_216,
  /** Bytes of it in a day: a database of 1 GB is gone through in four days. Reading does not wear flash. */
  scrubPerDayBytes: 268_435_456,
  /** Bytes of it at a start that met damage: a second of work. */
  scrubAtOpenBytes: 33_554_432,
  /** Findings of damage that are told apart and logged; a dying card brings them by the thousand. */
  findings: 1_000,
  /** Entries of an atDirectory that were registered or added; a whole file of them is written at each change. */
  directoryEntries: 10_000,
  /** Entries of them with the same host, so that one device cannot take all names. */
  directoryEntriesPerHost: 100,
  /** A backup of a running device ends when its reader takes nothing for this time: it keeps deleted rows on disk. */
  backupStallMs: 600_000,
  /** Files of a device in a backup: certificates, keys and settings are few. */
  backupFiles: 256,
  /** Bytes of one of them; what is larger is no setting. */
  backupFileBytes: 1_048_576,
  /** Bytes of all of them, which are held in memory. */
  backupFilesBytes: 16_777_216,
  /** Bytes of the list of files in a backup. */
  backupManifestBytes: 262_144,
  /** Longest client pattern in characters. */
  patternLength: 512,
  /** Steps of a client pattern with its counted repetitions written out: each is tried at every character of every key. */
  patternSteps: 300,
  /** Milliseconds for which one command may judge rows before all others have a turn. */
  turnMs: 4,
} as const
