import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ApplianceControl, OverdubError } from '@overdub/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as records from '../../../plugins/api-http/testing/records.ts';
import { appliance, here, setUp, stream, tearDown } from './harness.ts';

beforeEach(setUp);
afterEach(tearDown);

describe('looking', () => {
  const changed = {
    path: 'etc/motd',
    change: 'content' as const,
    before: records.entry,
    after: { ...records.entry, content: { ...records.content, bytes: 8 } },
  };
  const texts: Partial<ApplianceControl> = {
    diff: () => stream(changed, records.change),
    readFile: async (ref) => {
      const text = ref.includes('~1') ? 'hello\n' : 'goodbye\n';
      return {
        entry: { ...records.entry, content: { ...records.content, bytes: text.length } },
        content: stream(Buffer.from(text)),
      };
    },
  };

  test('diff lists changes and shows the text of small files', async () => {
    const { overdub, calls } = await appliance(texts);
    const { code, out } = await overdub('diff', 'web-1@~1', 'web-1@12:45');
    expect(code).toBe(0);
    expect(out).toBe(
      'M /etc/motd  6 B → 8 B\n    @@ -1,1 +1,1 @@\n    -hello\n    +goodbye\nA /etc/motd  6 B\n1 content, 1 added\n',
    );
    expect(calls[0]?.args).toEqual(['web-1@~1', 'web-1@2026-11-22T12:45:00+01:00']);
  });

  test('a viewer gets the list without texts, and is told why', async () => {
    const { overdub } = await appliance(texts, 'viewer');
    const { code, out, err } = await overdub('diff', 'web-1@~1', 'web-1@latest');
    expect({ code, out }).toEqual({
      code: 0,
      out: 'M /etc/motd  6 B → 8 B\nA /etc/motd  6 B\n1 content, 1 added\n',
    });
    expect(err).toContain('operator');
  });

  test('diff --json is one document, also when empty', async () => {
    const full = await appliance(texts);
    expect(JSON.parse((await full.overdub('diff', 'a@1', 'b@1', '--json')).out)).toHaveLength(2);
    const empty = await appliance({ diff: () => stream() });
    expect(JSON.parse((await empty.overdub('diff', 'a@1', 'b@1', '--json')).out)).toEqual([]);
  });

  test('a stream that breaks is an error with exit code 1', async () => {
    const failing = async function* () {
      yield records.change;
      throw new OverdubError('REPOSITORY_DAMAGED', 'page ab does not match', 'overdub verify');
    };
    const { overdub } = await appliance({ diff: failing });
    const { code, err } = await overdub('diff', 'a@1', 'b@1', '--no-text');
    expect(code).toBe(1);
    expect(err).toContain('REPOSITORY_DAMAGED');
  });

  test('cat writes the very bytes', async () => {
    const bytes = Buffer.from([0, 255, 10, 13]);
    const entry = { ...records.entry, content: { ...records.content, bytes: 4 } };
    const { overdub, calls } = await appliance({ readFile: async () => ({ entry, content: stream(bytes) }) });
    expect((await overdub('cat', 'web-1@12:45', '/etc/motd')).bytes).toEqual(bytes);
    expect(calls[0]?.args).toEqual(['web-1@2026-11-22T12:45:00+01:00', 'etc/motd']);
    const json = JSON.parse((await overdub('cat', 'web-1@latest', '/etc/motd', '--json')).out);
    expect(Buffer.from(json.base64, 'base64')).toEqual(bytes);
  });

  test('restore-file brings bytes, mode and time, and overwrites only when told to', async () => {
    const entry = { ...records.entry, mode: 0o4755, mtimeNs: '1763815500123456789' };
    const { overdub } = await appliance({
      readFile: async () => ({ entry, content: stream(Buffer.from('hello\n')) }),
    });
    expect((await overdub('restore-file', 'web-1@latest', '/etc/motd')).code).toBe(0);
    const made = await stat(join(here(), 'motd'));
    expect(made.mode & 0o7777).toBe(0o755);
    expect(Math.round(made.mtimeMs)).toBe(1763815500123);
    await writeFile(join(here(), 'motd'), 'mine');
    const refused = await overdub('restore-file', 'web-1@latest', '/etc/motd');
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('CONFLICT') });
    expect(await readFile(join(here(), 'motd'), 'utf8')).toBe('mine');
    expect((await overdub('restore-file', 'web-1@latest', '/etc/motd', '--force')).code).toBe(0);
    expect(await readFile(join(here(), 'motd'), 'utf8')).toBe('hello\n');
  });

  test('log tells where a path changed', async () => {
    const { overdub, calls } = await appliance({
      log: () => stream({ snapshot: records.snapshot, change: 'content' as const, after: records.entry }),
    });
    expect((await overdub('log', 'web-1', '/etc/motd')).out).toContain('cdcdcdcdcdcdcdcd');
    expect(calls[0]?.args).toEqual(['web-1', 'etc/motd']);
  });
});
