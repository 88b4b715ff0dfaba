/** Every bound of the server, with the reason for its size. Bytes, counts and milliseconds. */
export const limits = {
  /** Command with its LF on an owner or peer session: the size every released client assumes (page 01, 6.1). */
  lineBytes: 10_240_000,
  /** Command on an open session: the longest legitimate one is a pkam with a post-quantum signature (page 08, 2.2). */
  openLineBytes: 16_384,
  /** Inbound connections; one more gets AT0012 (page 01, 6.2). */
  inboundConnections: 200,
  /** Longest time one command may take, waits for peers included. */
  commandMs: 60_000,
  /** Refused lines after which a connection that has proved nothing is closed. */
  strangerErrors: 100,
  /** Sessions that this server opens to others at one time. */
  outboundConnections: 200,
  /** Idle time of a connection that has proved nothing. */
  openIdleMs: 600_000,
  /** Idle time of owner and peer sessions. */
  authenticatedIdleMs: 600_000,
  /** A connection must finish its TLS handshake in this time. */
  handshakeMs: 30_000,
  /** Lines waiting on one connection behind the one that runs; reading stops there until some are answered. */
  pipelinedLines: 1_000,
  /** Characters of those lines; reading stops there. */
  pipelinedChars: 1_048_576,
  /** Most bytes of one TLS record: LF and prompt must leave in the same one (page 01, section 4). */
  tlsRecordBytes: 16_384,
  /** Bytes waiting to be sent to one client; reading stops there. */
  unsentBytes: 1_048_576,
  /** A closing connection may take this long to take its last bytes and to close its side. */
  lingerMs: 2_000,
  /** A monitor that leaves this many bytes unread is closed; it resumes from its last notification. */
  monitorBacklogBytes: 4_194_304,
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
  /** Wait for one reply of a peer; a reference peer dials back before it answers (page 08, 11.2). */
  peerReplyMs: 10_000,
  /** Wait for a TCP and TLS connection to a peer or directory. */
  dialMs: 10_000,
  /** Notifications on their way to one peer before the first is answered. */
  deliveryWindow: 16,
  /** Notifications waiting for one peer; one more is refused. */
  outboxPerPeer: 10_000,
  /** Arrays and objects inside one another in an `appMetadata` document. */
  appMetadataDepth: 32,
  /** Longest client pattern in characters. */
  patternLength: 512,
} as const
