/** Every bound of the bridge, with the reason for its size. Bytes, counts and milliseconds. */
export const bounds = {
  /** Payload that a rule may read; sensors send far less, cameras belong elsewhere. */
  payloadBytes: 65_536,
  /** Whole MQTT packet; the largest legitimate one is a discovery message of a bridge with many devices. */
  packetBytes: 262_144,
  /** Connections to the embedded broker; one more is closed at once. */
  clients: 100,
  /** A connection must have sent its CONNECT in this time. */
  connectMs: 10_000,
  /** Subscriptions of one client. */
  subscriptions: 1_000,
  /** Messages of one client that wait for their commit; reading from it stops there. */
  inFlight: 256,
  /** Bytes and topics of retained messages; a further one is delivered, not kept. */
  retainedBytes: 8_388_608,
  retainedTopics: 10_000,
  /** Topics whose records are known, by their characters and rules; those unused longest are looked at anew. */
  routeBytes: 1_048_576,
  /** Longest path into a payload, in characters and in steps. */
  pathLength: 256,
  pathSteps: 16,
  /** Keys whose last reading the policy remembers; the one unused longest gives way. */
  remembered: 10_000,
  /** Messages of which some recipients have got theirs, and how long a sensor may take to send one of them again. */
  unfinished: 1_000,
  unfinishedMs: 300_000,
  /** The same complaint about a rule is logged once in this time. */
  complaintMs: 60_000,
} as const
