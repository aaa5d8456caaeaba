import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Lease } from './lease-book.ts';
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
  state: n % 2 === 0 ? 'bound' : 'declined',
});

test('leases survive a restart', async () => {
  const leases = [leaseOf(1), leaseOf(2)];
  await new LeaseFile(directory).save(() => leases);
  expect(await new LeaseFile(directory).load()).toEqual(leases);
  expect(await readdir(directory)).toEqual(['leases.json']);
});

test('a new installation has none', async () => expect(await new LeaseFile(directory).load()).toEqual([]));

test('many saves at once share writes, and each finds its own lease on disk when it resolves', async () => {
  const file = new LeaseFile(directory);
  const leases: Lease[] = [];
  await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      leases.push(leaseOf(n));
      await file.save(() => leases);
      const stored = JSON.parse(await readFile(path.join(directory, 'leases.json'), 'utf8')) as {
        leases: Lease[];
      };
      expect(stored.leases).toContainEqual(leaseOf(n));
    }),
  );
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

test('a failed save rejects, and the next one works again', async () => {
  const file = new LeaseFile(path.join(directory, 'missing'));
  await expect(file.save(() => [])).rejects.toMatchObject({ code: 'ENOENT' });
  const good = new LeaseFile(directory);
  await good.save(() => [leaseOf(1)]);
  expect(await good.load()).toHaveLength(1);
});
