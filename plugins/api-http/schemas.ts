/** Records as they travel: TypeBox schemas of the domain's types, named in the OpenAPI document. */

import { COMPRESSIONS, DEFAULT_COMPRESSION } from '@overdub/core';
import { Type } from 'typebox';
import { CONTROLLER_FACTS, DHCP_FACTS, FACTS } from './schemas-machine.ts';

const Time = Type.String({ format: 'date-time', description: 'ISO 8601, UTC' });
const Strings = Type.Array(Type.String());
const Open = Type.Record(Type.String(), Type.Unknown());
const optional = Type.Optional;

const Manifest = Type.Object({ root: Type.String(), entries: Type.Integer(), bytes: Type.Integer() });
const MasterReference = Type.Object({ name: Type.String(), version: Type.Integer() });
const Failure = Type.Object({
  code: Type.String(),
  message: Type.String(),
  remedy: Type.String(),
  plugin: optional(Type.String()),
  hook: optional(Type.String()),
});

export const Schedule = Type.Object({
  everySeconds: Type.Integer({ minimum: 1 }),
  jitterSeconds: Type.Integer({ minimum: 0 }),
});
export const Retention = Type.Object({
  last: Type.Integer({ minimum: 0 }),
  hourly: Type.Integer({ minimum: 0 }),
  daily: Type.Integer({ minimum: 0 }),
  withinSeconds: Type.Integer({ minimum: 0 }),
});
export const RoleName = Type.Union([Type.Literal('viewer'), Type.Literal('operator'), Type.Literal('admin')]);
export const CompressionName = Type.Enum([...COMPRESSIONS], {
  description: `How what snapshots send is compressed; absent: ${DEFAULT_COMPRESSION}`,
});
export const StateOfOperation = Type.Union(
  (['queued', 'running', 'waiting', 'done', 'failed', 'cancelled'] as const).map((state) =>
    Type.Literal(state),
  ),
);

const PowerReport = Type.Object({
  where: Type.String(),
  state: Type.Union([Type.Literal('on'), Type.Literal('off'), Type.Literal('unknown')]),
});

const Machine = Type.Object({
  id: Type.String(),
  name: Type.String(),
  macs: Strings,
  uuid: optional(Type.String()),
  arch: optional(Type.String()),
  firmware: optional(Type.String()),
  admission: Type.Union([Type.Literal('held'), Type.Literal('accepted'), Type.Literal('rejected')]),
  admissionReason: optional(Type.String()),
  labels: Type.Record(Type.String(), Type.String()),
  seenOn: optional(Type.String()),
  facts: optional(FACTS),
  dhcp: optional(DHCP_FACTS),
  controller: optional(CONTROLLER_FACTS),
  serverName: optional(Type.String()),
  generation: optional(Type.Integer()),
  firstSeenAt: Time,
  lastSeenAt: Time,
});

const Master = Type.Object({
  name: Type.String(),
  version: Type.Integer(),
  kind: Type.String(),
  arch: Type.String(),
  manifest: Manifest,
  kernel: optional(Type.Object({ version: Type.String(), image: Type.String(), initrd: Type.String() })),
  importedAt: Time,
  source: Type.String(),
});

const Server = Type.Object({
  name: Type.String(),
  master: optional(MasterReference),
  identity: Type.Object({
    hostname: Type.String(),
    machineId: Type.String(),
    rootUuid: Type.String(),
    espId: Type.String(),
  }),
  state: Type.String(),
  machineId: optional(Type.String()),
  generation: Type.Integer(),
  schedule: optional(Schedule),
  retention: Retention,
  excludes: Strings,
  bandwidth: optional(Type.Integer({ description: 'Bytes a second that snapshots may send' })),
  compression: optional(CompressionName),
  address: optional(Type.String()),
  drivers: Type.Object({ imager: Type.String() }),
  createdAt: Time,
});

const Snapshot = Type.Object({
  id: Type.String(),
  server: Type.String(),
  master: optional(MasterReference),
  parent: optional(Type.String()),
  manifest: Manifest,
  startedAt: Time,
  endedAt: Time,
  consistency: Type.String(),
  reason: Type.String(),
  suspect: Type.Boolean(),
  pinned: Type.Boolean(),
  machineId: optional(Type.String()),
  skipped: Type.Array(Type.Object({ path: Type.String(), reason: Type.String() })),
  skippedTotal: Type.Integer(),
  stats: Type.Object({
    bytesReceived: Type.Integer(),
    bytesSent: Type.Integer(),
    bytesStored: Type.Integer(),
    filesChanged: Type.Integer(),
  }),
});

const Step = Type.Object({
  name: Type.String(),
  state: Type.String(),
  startedAt: optional(Time),
  endedAt: optional(Time),
  attempts: Type.Integer(),
  progress: optional(
    Type.Object({
      doneBytes: optional(Type.Integer()),
      totalBytes: optional(Type.Integer()),
      text: optional(Type.String()),
    }),
  ),
});

const Operation = Type.Object({
  id: Type.String(),
  kind: Type.String(),
  server: optional(Type.String()),
  machineId: optional(Type.String()),
  state: StateOfOperation,
  attention: optional(Type.String()),
  requestedBy: Type.String(),
  parameters: Open,
  memory: Open,
  steps: Type.Array(Step),
  result: optional(Open),
  error: optional(Failure),
  createdAt: Time,
  endedAt: optional(Time),
});

const Entry = Type.Object({
  path: Type.String({ description: 'Relative; bytes that are not UTF-8 as lone surrogates U+DC80…U+DCFF' }),
  type: Type.String(),
  mode: Type.Integer(),
  uid: Type.Integer(),
  gid: Type.Integer(),
  mtimeNs: Type.String(),
  content: optional(
    Type.Object({
      digest: Type.String(),
      bytes: Type.Integer(),
      chunks: Type.Array(Type.Object({ digest: Type.String(), bytes: Type.Integer() })),
    }),
  ),
  sparse: optional(Type.Literal(true)),
  target: optional(Type.String()),
  device: optional(Type.Object({ major: Type.Integer(), minor: Type.Integer() })),
  xattrs: optional(Type.Record(Type.String(), Type.String())),
});

const Change = Type.Union(
  (['added', 'removed', 'content', 'metadata', 'type'] as const).map((change) => Type.Literal(change)),
);
const DiffEntry = Type.Object({
  path: Type.String(),
  change: Change,
  before: optional(Entry),
  after: optional(Entry),
});
const LogEntry = Type.Object({ snapshot: Snapshot, change: Change, after: optional(Entry) });
const Image = Type.Object({ manifest: Manifest, label: Type.String() });

const Token = Type.Object({
  id: Type.String(),
  name: Type.String(),
  role: RoleName,
  createdAt: Time,
  server: optional(Type.String()),
});
const NewToken = Type.Object({ ...Token.properties, secret: Type.String({ description: 'Shown once' }) });

const Info = Type.Object({
  version: Type.String(),
  startedAt: Time,
  plugins: Type.Array(
    Type.Object({
      name: Type.String(),
      version: optional(Type.String()),
      state: Type.String(),
      optional: Type.Boolean(),
      error: optional(Type.String()),
    }),
  ),
  state: Type.String(),
  repository: Type.Object({
    chunks: Type.Integer(),
    logicalBytes: Type.Integer(),
    storedBytes: Type.Integer(),
    packs: Type.Integer(),
    byForm: Open,
  }),
});

const OwnerUsage = Type.Object({
  name: Type.String(),
  images: Type.Integer({ description: 'Snapshots of a server, versions of a master' }),
  logicalBytes: Type.Integer(),
  uniqueBytes: Type.Integer({ description: 'Of chunks that only it needs' }),
  ownBytes: Type.Integer({ description: 'The same as stored' }),
  shareBytes: Type.Integer({
    description: 'Stored bytes, shared chunks split evenly among those who need them',
  }),
});
const Usage = Type.Object({
  snapshots: Type.Integer(),
  masters: Type.Integer(),
  logicalBytes: Type.Integer(),
  uniqueBytes: Type.Integer(),
  storedBytes: Type.Integer(),
  chunks: Type.Integer(),
  packs: Type.Integer(),
  packBytes: Type.Integer(),
  deadBytes: Type.Integer({ description: 'Packs in which nothing is in use' }),
  reclaimableBytes: Type.Integer({ description: 'What a collection would free' }),
  byForm: Type.Record(
    Type.String(),
    Type.Object({ chunks: Type.Integer(), logicalBytes: Type.Integer(), storedBytes: Type.Integer() }),
  ),
  byServer: Type.Array(OwnerUsage),
  byMaster: Type.Array(OwnerUsage),
  unreadableImages: Type.Integer(),
});

/** Every record of the API by its name in the OpenAPI document. */
export const RECORDS = {
  Machine,
  PowerReport,
  Master,
  Server,
  Snapshot,
  Operation,
  Entry,
  DiffEntry,
  LogEntry,
  Image,
  Token,
  NewToken,
  Info,
  Usage,
  Error: Failure,
} as const;
export type RecordName = keyof typeof RECORDS;
