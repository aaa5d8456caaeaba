/**
 * Hostile TFTP packets, by the million where OVERDUB_FUZZ_PACKETS says so: through the codec and transfers in this
 * process, and some thousands through real sockets on loopback.
 */

import dgram from 'node:dgram';
import {
  cleanBootName,
  decodeTftp,
  negotiate,
  startTftpServer,
  type TftpReport,
  type TftpServer,
} from '@overdub/lib-netboot';
import { expect, test } from 'vitest';
import { fetchTftp } from '../../../plugins/lib-netboot/tftp/test-client.ts';
import { Transfer, type TransferOutcome } from '../../../plugins/lib-netboot/tftp/transfer.ts';
import { hex, liveBytes, mutated, openFiles, PACKETS, pick, type Random, random } from './mutate.ts';

const SEED = 20_260_102;
const CONTENT = Buffer.alloc(40_000, 'overdub');
const LIMITS = { maxBlockBytes: 1468, maxWindow: 64, retryMs: 60_000 };
const FILE = {
  bytes: CONTENT.length,
  async *read() {
    yield CONTENT;
  },
};

const request = (opcode: number, ...fields: string[]): Uint8Array =>
  Buffer.concat([
    Uint8Array.of(0, opcode),
    Buffer.from(fields.map((field) => `${field}\0`).join(''), 'latin1'),
  ]);

const REQUESTS = [
  request(1, 'boot/a', 'octet'),
  request(1, '/boot//./a', 'OCTET', 'BLKSIZE', '1468', 'tsize', '0'),
  request(1, 'boot\\a\xff', 'octet', 'windowsize', '16', 'timeout', '3', 'blksize', '8'),
  request(1, '../../etc/passwd', 'octet'),
  request(1, 'boot/a', 'netascii'),
  request(2, 'boot/a', 'octet', 'tsize', '100'),
];
const acks = (next: Random): Uint8Array[] =>
  Array.from({ length: 30 }, () => Uint8Array.of(0, 4, 0, Math.floor(next() * 90)));
const FOLLOW_UPS = [
  Uint8Array.of(0, 5, 0, 8, 0),
  Uint8Array.of(0, 5, 0, 0, ...Buffer.from('enough\0')),
  Uint8Array.of(0, 3, 0, 1, 1, 2, 3),
  Uint8Array.of(0, 6, ...Buffer.from('blksize\x001468\0')),
];

/** Every name that gets through must stay inside the served tree. */
function checkName(raw: string): void {
  const name = cleanBootName(raw);
  if (name === undefined) return;
  const parts = name.split('/');
  const safe =
    parts.every((part) => part !== '' && part !== '.' && part !== '..') &&
    [...name].every((each) => each >= ' ' && each !== '\\');
  if (!safe) throw new Error(`${JSON.stringify(raw)} became ${JSON.stringify(name)}`);
}

test(`${PACKETS.toLocaleString('en')} hostile TFTP packets: no exception, bounded answers, no growth`, async () => {
  const next = random(SEED);
  const seeds = [...REQUESTS, ...acks(next), ...FOLLOW_UPS];
  const outcomes = new Map<TransferOutcome['result'], number>();
  let before = 0;
  let transfers = 0;
  for (let count = 0; count < PACKETS; ) {
    const opening = decodeTftp(mutated(REQUESTS, next));
    count += 1;
    if (opening.kind === 'read') checkName(opening.name);
    if (opening.kind !== 'read' || opening.mode !== 'octet' || cleanBootName(opening.name) === undefined)
      continue;
    const terms = negotiate(opening.options, FILE.bytes, LIMITS);
    expect(terms.blockBytes).toBeLessThanOrEqual(LIMITS.maxBlockBytes);
    expect(terms.window).toBeLessThanOrEqual(LIMITS.maxWindow);

    let sent = 0;
    let ended = 0;
    const transfer = new Transfer({
      file: FILE,
      terms,
      attempts: 3,
      send: () => {
        sent += 1;
      },
      onEnd: ({ result }) => {
        ended += 1;
        outcomes.set(result, (outcomes.get(result) ?? 0) + 1);
      },
    });
    transfers += 1;
    transfer.start();
    for (let packets = 0; packets < 60; packets++, count++) {
      if (packets % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      const bytes = mutated(seeds, next);
      const had = sent;
      try {
        transfer.receive(decodeTftp(bytes));
      } catch (error) {
        throw new Error(`packet ${count}, ${hex(bytes)}`, { cause: error });
      }
      // One packet of a client brings at most a window: nobody is flooded in another's name.
      expect(sent - had).toBeLessThanOrEqual(terms.window);
      if (ended === 1 && packets % 7 === 6) break;
    }
    transfer.fail('the test is over');
    expect(ended).toBe(1);
    if (before === 0 && count > PACKETS / 2) before = liveBytes();
  }
  expect(transfers).toBeGreaterThan(PACKETS / 500);
  expect(outcomes.get('aborted')).toBeGreaterThan(0);
  expect(liveBytes() - before).toBeLessThan(4 * 1024 * 1024);
});

test('through sockets: nonsense is not answered, real clients are, and no descriptor stays open', async () => {
  const files = openFiles();
  const reports: TftpReport[] = [];
  const server = await startTftpServer({
    listen: { address: '127.0.0.1', port: 0 },
    retryMs: 20,
    attempts: 2,
    open: async (name) => (name === 'boot/a' ? FILE : undefined),
    onReport: (report) => reports.push(report),
  });
  const sockets = Array.from({ length: 8 }, () => dgram.createSocket('udp4'));
  try {
    const next = random(SEED + 1);
    // Who asks for a long `timeout` gets it, and would be waited for here.
    const hasty = REQUESTS.filter((bytes) => !Buffer.from(bytes).includes('timeout'));
    const seeds = [...hasty, ...acks(next), ...FOLLOW_UPS];
    for (let count = 0; count < 4000; count++) {
      pick(sockets, next).send(mutated(seeds, next), server.port, '127.0.0.1');
      if (count % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const { content } = await fetchTftp({ port: server.port, name: 'boot/a', options: { blksize: '1468' } });
    expect(content.equals(CONTENT)).toBe(true);
    await settled(server);
    expect(reports.filter(({ result }) => result === 'done').length).toBeGreaterThan(0);
  } finally {
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
    await server.close();
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(openFiles()).toBeLessThanOrEqual(files);
});

test.each([
  ['empty', []],
  ['one byte', [0]],
  ['an opcode alone', [0, 1]],
  ['an unknown opcode', [0, 9, 1, 2]],
  ['a request without mode', [0, 1, 97, 0]],
  ['an error', [0, 5, 0, 1, 0]],
  ['an option acknowledgement', [0, 6, 97, 0, 98, 0]],
  ['data', [0, 3, 0, 1, 9]],
])('%s on the request port gets no answer', async (_, bytes) => {
  const server = await startTftpServer({ listen: { address: '127.0.0.1', port: 0 }, open: async () => FILE });
  const socket = dgram.createSocket('udp4');
  let answers = 0;
  socket.on('message', () => {
    answers += 1;
  });
  try {
    socket.send(Uint8Array.from(bytes), server.port, '127.0.0.1');
    // What is asked after it is answered, so it was seen.
    await fetchTftp({ port: server.port, name: 'boot/a' });
    expect(answers).toBe(0);
  } finally {
    socket.close();
    await server.close();
  }
});

async function settled(server: TftpServer): Promise<void> {
  for (let tries = 0; server.active > 0; tries++) {
    if (tries > 200) throw new Error(`${server.active} transfers never end`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
