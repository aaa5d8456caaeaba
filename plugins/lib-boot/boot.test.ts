import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type ErrorCode, type Machine, OverdubError } from '@overdub/core';
import { collectBytes } from '@overdub/core/testing';
import { describe, expect, test } from 'vitest';
import { fileArtifact, isAuthority, isServed, loaderOf, textArtifact } from './index.ts';

describe('Host header', () => {
  test.each(['10.0.0.1', '10.0.0.1:7077', 'appliance.lan:80', '[fd00::1]:7077', 'a'])('%s passes', (host) => {
    expect(isAuthority(host)).toBe(true);
  });
  test.each([
    '',
    'a b',
    'a/b',
    'a@b',
    '10.0.0.1:',
    '10.0.0.1:0',
    '10.0.0.1:99999',
    '-a',
    `\${x}`,
    'a\r\nb',
    '[::g]',
    '[',
    'a_b',
  ])('%j is refused', (host) => expect(isAuthority(host)).toBe(false));
});

describe('artifacts', () => {
  test('a file is read whole and by range; a directory and nothing are no artifact', async () => {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-boot-'));
    const file = path.join(directory, 'loader.efi');
    await writeFile(file, 'abcdef');
    const artifact = await fileArtifact(file);
    if (artifact === undefined) throw new Error('not there');
    expect(artifact.bytes).toBe(6);
    expect(String(await collectBytes(artifact.read()))).toBe('abcdef');
    expect(String(await collectBytes(artifact.read({ offset: 2, length: 3 })))).toBe('cde');
    expect(await fileArtifact(directory)).toBeUndefined();
    expect(await fileArtifact(path.join(file, 'x'))).toBeUndefined();
    await rm(directory, { recursive: true });
  });

  test('is one served? Not where its plugin says that it has none; another failure is one', async () => {
    const failing = (code: ErrorCode) => ({
      artifact: () => Promise.reject(new OverdubError(code, 'What.', 'What next.')),
    });
    expect(await isServed({ artifact: async () => textArtifact('x') }, 'x')).toBe(true);
    expect(await isServed({ artifact: async () => undefined }, 'x')).toBe(false);
    expect(await isServed(failing('NOT_FOUND'), 'x')).toBe(false);
    await expect(isServed(failing('PLUGIN_FAILED'), 'x')).rejects.toMatchObject({ code: 'PLUGIN_FAILED' });
  });

  test('equal texts have equal validators, others have others', async () => {
    const [one, same, other] = ['ä', 'ä', 'b'].map(textArtifact);
    expect(one?.bytes).toBe(2);
    expect(one?.etag).toBe(same?.etag);
    expect(one?.etag).not.toBe(other?.etag);
  });
});

test.each([
  [{}, 'ipxe', 'ipxe'],
  [{ loader: 'grub' }, 'ipxe', 'grub'],
  [{ loader: 'ipxe' }, 'grub', 'ipxe'],
  [{ loader: 'lilo' }, 'grub', 'grub'],
  [{ loader: 'pxelinux' }, 'ipxe', 'ipxe'],
] as const)('labels %j, else %s: %s', (labels, otherwise, expected) =>
  expect(loaderOf({ labels } as unknown as Machine, otherwise)).toBe(expected),
);
