/** One record of each kind, complete enough to show every optional field. */

import type {
  ContentRef,
  DiffEntry,
  Entry,
  Event,
  Machine,
  Master,
  Operation,
  RepositoryUsage,
  Server,
  Snapshot,
} from '@overdub/core';

const AT = '2026-11-22T12:45:00.000Z';
const manifest = { root: 'ab'.repeat(32), entries: 12_345, bytes: 440_000_000 };

export const machine: Machine = {
  id: 'm1',
  name: 'machine-0d0b01',
  macs: ['52:54:00:0d:0b:01'],
  uuid: '0e8c1c4e-7a3f-4a87-9d53-6d5a0f0d0b01',
  arch: 'x86_64',
  firmware: 'uefi',
  admission: 'held',
  admissionReason: 'not seen before',
  labels: { rack: '3' },
  facts: {
    firmware: 'uefi',
    arch: 'x86_64',
    cpu: { model: 'QEMU', cores: 2 },
    memoryBytes: 2_147_483_648,
    disks: [
      {
        name: 'vda',
        bytes: 6_442_450_944,
        sectorBytes: 512,
        transport: 'virtio',
        serial: 'A',
        removable: false,
      },
    ],
    nics: [{ name: 'eth0', mac: '52:54:00:0d:0b:01', link: true }],
    dmi: { vendor: 'QEMU' },
  },
  firstSeenAt: AT,
  lastSeenAt: AT,
};

const owner = { images: 96, logicalBytes: 42_000_000_000, uniqueBytes: 9_000_000, ownBytes: 4_000_000 };

export const usage: RepositoryUsage = {
  snapshots: 96,
  masters: 3,
  logicalBytes: 43_000_000_000,
  uniqueBytes: 700_000_000,
  storedBytes: 240_000_000,
  chunks: 31_000,
  packs: 40,
  packBytes: 260_000_000,
  deadBytes: 16_000_000,
  reclaimableBytes: 18_000_000,
  byForm: {
    whole: { chunks: 30_000, logicalBytes: 650_000_000, storedBytes: 230_000_000 },
    zstd: { chunks: 1_000, logicalBytes: 50_000_000, storedBytes: 10_000_000 },
  },
  byServer: [{ name: 'web-1', ...owner, shareBytes: 120_000_000 }],
  byMaster: [{ name: 'web', ...owner, images: 3, shareBytes: 120_000_000 }],
  unreadableImages: 0,
};

export const master: Master = {
  name: 'web',
  version: 3,
  kind: 'tree',
  arch: 'x86_64',
  manifest,
  kernel: { version: '6.1.0-1', image: 'boot/vmlinuz-6.1.0-1', initrd: 'boot/initrd.img-6.1.0-1' },
  importedAt: AT,
  source: '/srv/web',
};

export const server: Server = {
  name: 'web-1',
  master: { name: 'web', version: 3 },
  identity: {
    hostname: 'web-1',
    machineId: '0'.repeat(32),
    rootUuid: machine.uuid as string,
    espId: 'ABCD1234',
  },
  state: 'running',
  machineId: 'm1',
  generation: 1,
  schedule: { everySeconds: 900, jitterSeconds: 60 },
  retention: { last: 10, hourly: 24, daily: 14, withinSeconds: 3600 },
  excludes: ['var/cache/**'],
  bandwidth: 5_000_000,
  compression: 'fast',
  address: '10.77.0.50',
  drivers: { imager: 'tree' },
  createdAt: AT,
};

export const snapshot: Snapshot = {
  id: '20261122T124500Z-1',
  server: 'web-1',
  master: { name: 'web', version: 3 },
  manifest,
  startedAt: AT,
  endedAt: AT,
  consistency: 'application',
  reason: 'schedule',
  suspect: false,
  pinned: false,
  machineId: 'm1',
  skipped: [{ path: 'run', reason: 'pseudo-filesystem' }],
  skippedTotal: 1,
  stats: { bytesReceived: 1_500_000, bytesSent: 20_000, bytesStored: 900_000, filesChanged: 17 },
};

export const operation: Operation = {
  id: 'op1',
  kind: 'rollback',
  server: 'web-1',
  machineId: 'm1',
  state: 'running',
  requestedBy: 'admin-token',
  parameters: { to: '20261122T124500Z-1' },
  memory: { credential: 'SECRET' },
  steps: [
    { name: 'enter-ramdisk', state: 'done', startedAt: AT, endedAt: AT, attempts: 1 },
    {
      name: 'restore',
      state: 'running',
      startedAt: AT,
      attempts: 1,
      progress: { doneBytes: 5, totalBytes: 10 },
    },
  ],
  createdAt: AT,
};

export const content: ContentRef = {
  digest: 'cd'.repeat(32),
  bytes: 6,
  chunks: [{ digest: 'cd'.repeat(32), bytes: 6 }],
};

export const entry: Entry = {
  path: 'etc/motd',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtimeNs: '1763815500000000000',
  content,
};

export const change: DiffEntry = { path: 'etc/motd', change: 'added', after: entry };

export const event: Event = {
  id: 'e1',
  type: 'snapshot.committed',
  at: AT,
  subject: { server: 'web-1' },
  text: 'web-1 has a new snapshot',
  data: {},
};
