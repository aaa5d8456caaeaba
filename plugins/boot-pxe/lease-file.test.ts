import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Lease, LeaseBook } from './lease-book.ts';
import { LeaseFile } from './lease-file.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-leases-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const leaseOf = (n: number): Lease => ({
  mac: `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`,
  address: `10.0.0.${n}`,
  expiresAt: 1000 + n,
  state: 'bound',
});

/** A book that bound these. */
function bookOf(...leases: readonly Lease[]): LeaseBook {
  const book = new LeaseBook();
  for (const { state: _bound, ...lease } of leases) book.bind(lease);
  return book;
}

async function reloaded(): Promise<readonly Lease[]> {
  return new LeaseFile(directory).load();
}

test('leases survive a restart', async () => {
  const book = bookOf(leaseOf(2), leaseOf(4));
  const file = new LeaseFile(directory);
  await file.save(book);
  await file.close();
  expect(await reloaded()).toEqual([leaseOf(2), leaseOf(4)]);
  // What was a log is one file now.
  expect(await readdir(directory)).toEqual(['leases.json']);
  expect(await reloaded()).toEqual([leaseOf(2), leaseOf(4)]);
});

test('a new installation has none', async () => expect(await reloaded()).toEqual([]));

test('what is released, moved or declined is so after a restart', async () => {
  const book = bookOf(leaseOf(2), leaseOf(4), leaseOf(6));
  const file = new LeaseFile(directory);
  await file.save(book);
  book.release('10.0.0.2', leaseOf(2).mac);
  book.bind({ ...leaseOf(4), address: '10.0.0.44' });
  book.decline('10.0.0.6', leaseOf(6).mac, 9999);
  await file.save(book);
  await file.close();
  expect(new Map((await reloaded()).map(({ address, state }) => [address, state]))).toEqual(
    new Map([
      ['10.0.0.44', 'bound'],
      ['10.0.0.6', 'declined'],
    ]),
  );
});

test('many saves at once share writes, and each finds its own lease on disk when it resolves', async () => {
  const file = new LeaseFile(directory);
  const book = new LeaseBook();
  await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      book.bind(leaseOf(n));
      await file.save(book);
      const text = await readFile(path.join(directory, 'leases.log'), 'utf8');
      expect(text).toContain(JSON.stringify(leaseOf(n).address));
    }),
  );
  await file.close();
});

test('a log that has grown becomes one file again', async () => {
  const file = new LeaseFile(directory);
  const book = new LeaseBook();
  for (let turn = 0; turn < 60; turn++) {
    for (let n = 0; n < 100; n++) book.bind({ ...leaseOf(n), expiresAt: turn });
    await file.save(book);
  }
  await file.close();
  const lines = (await readFile(path.join(directory, 'leases.log'), 'utf8')).split('\n').length;
  expect(lines).toBeLessThan(4097);
  expect((await reloaded()).every(({ expiresAt }) => expiresAt === 59)).toBe(true);
});

/** Puts text into the journal, at its end or somewhat behind it. */
async function scribble(text: string, behind = 0): Promise<void> {
  const file = path.join(directory, 'leases.log');
  const end = (await readFile(file)).indexOf(0);
  const log = await open(file, 'r+');
  await log.write(text, end + behind);
  await log.close();
}

test.each([
  ['a line that a power cut left half written', '{"address":"10.0.0.4","lea', 0],
  ['the last block of a write whose first never came', 'ff:ff"}}\n{"address":"10.0.0.4"}\n', 4096],
])('%s was promised to nobody', async (_, text, behind) => {
  const file = new LeaseFile(directory);
  await file.save(bookOf(leaseOf(2)));
  await file.close();
  await scribble(text, behind);
  expect(await reloaded()).toEqual([leaseOf(2)]);
});

test('the journal of an older version, without room, is read', async () => {
  const change = { address: leaseOf(2).address, lease: leaseOf(2) };
  await writeFile(path.join(directory, 'leases.log'), `${JSON.stringify(change)}\n{"addr`);
  expect(await reloaded()).toEqual([leaseOf(2)]);
});

test('a write changes the size of the journal only where its room ends, and none is lost there', async () => {
  const file = new LeaseFile(directory);
  await file.prepare();
  const size = async (): Promise<number> => (await stat(path.join(directory, 'leases.log'))).size;
  const room = await size();
  const book = new LeaseBook();
  const names = Array.from({ length: 20 }, (_, n) => `${n}-`.padEnd(20_000, 'x'));
  for (const [n, hostname] of names.entries()) {
    book.bind({ ...leaseOf(n), hostname });
    await file.save(book);
    expect((await size()) % room).toBe(0);
  }
  expect(await size()).toBe(2 * room);
  await file.close();
  expect((await reloaded()).map(({ hostname }) => hostname)).toEqual(names);
});

test('a journal that cannot be made says so, and what to do', async () => {
  await expect(new LeaseFile(path.join(directory, 'later')).prepare()).rejects.toMatchObject({
    code: 'STATE_UNWRITABLE',
    message: expect.stringMatching(/journal of leases .* ENOENT/),
  });
});

test('a damaged line is refused, and stays', async () => {
  await writeFile(path.join(directory, 'leases.log'), '{"address":"10.0.0.4","lea\n');
  await expect(reloaded()).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
  expect(await readdir(directory)).toEqual(['leases.log']);
});

test.each([
  ['cut short', '{"format":1,"leases":[{"mac":"52:5'],
  ['of another format', '{"format":2,"leases":[]}'],
  ['with a wrong lease', '{"format":1,"leases":[{"mac":"x"}]}'],
  ['empty', ''],
])('a file that is %s is refused, not overwritten', async (_, text) => {
  await writeFile(path.join(directory, 'leases.json'), text);
  await expect(new LeaseFile(directory).load()).rejects.toMatchObject({
    code: 'STATE_UNWRITABLE',
    message: expect.stringMatching(/damaged/),
    remedy: expect.stringMatching(/backup/),
  });
  expect(await readFile(path.join(directory, 'leases.json'), 'utf8')).toBe(text);
});

test('a failed save rejects, and what it had to write is part of the next', async () => {
  const missing = path.join(directory, 'later');
  const file = new LeaseFile(missing);
  const book = bookOf(leaseOf(2));
  await expect(file.save(book)).rejects.toMatchObject({ code: 'ENOENT' });
  await mkdir(missing);
  await file.save(book);
  await file.close();
  expect(await new LeaseFile(missing).load()).toEqual([leaseOf(2)]);
});
