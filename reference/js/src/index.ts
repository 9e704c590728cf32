/** Syncline for browsers and Node: records that every device keeps, reads and writes at once, and that become equal. */

export { Replica, type EventOf, type ReplicaEvent, type ReplicaLike, type ReplicaOptions, type StoreFailed } from "./replica.js";
export { Refused } from "./core/fault.js";
export type { Time } from "./core/client.js";
export type { StatusReport } from "./core/status.js";
export type { Guard, RowWrite, RuleWrites } from "./core/local.js";
export type { Rejection } from "./core/space.js";
export type { Value } from "./core/value.js";
export type { Columns, Shown } from "./core/view.js";
export type { Connection, Listener, Transport } from "./bind/transport.js";
export { webSocket, type Socket, type WebSocketOptions } from "./bind/websocket.js";
export { dataChannel, WebRtcLinks, type DataChannel, type WebRtcOptions } from "./bind/webrtc.js";
export type { Store } from "./store/store.js";
export { MemoryStore } from "./store/memory.js";
export { IndexedDbStore } from "./store/indexeddb.js";
export { SharedReplica, type SharedOptions } from "./shared.js";
export type { Channel, Locks } from "./tabs.js";
