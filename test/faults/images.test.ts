/** Images that must not become masters: said at once and clearly, nothing listed, nothing written outside. */

import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Master, Operation } from '@overdub/core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Appliance, configure, expectError, expectFailure, type Words } from './overdub.ts';
import { Room } from './room.ts';
import { type TarEntry, tarOf } from './tar-bytes.ts';
import { digestsOf, elfHeader, expectWhole, makeTree } from './trees.ts';

let room: Room;
let appliance: Appliance;
let digests: Map<string, string>;

/** One appliance with one good master; every test tries to add a bad one under another name. */
beforeAll(async () => {
  room = await Room.open();
  appliance = await Appliance.up(room, { config: await configure(room) });
  const root = await makeTree(room.path('good'));
  digests = await digestsOf(root);
  await appliance.ask('master', 'import', 'good', root);
});
afterAll(() => room.close());

/** Whatever was refused: the list holds what it held, and that is whole. */
afterEach(async () => {
  const masters = await appliance.records<Master[]>('/masters');
  expect(masters.map(({ name, version }) => [name, version])).toEqual([['good', 1]]);
  await expectWhole(appliance, 'good@1', digests);
});

async function expectRefused(source: string, code: string, words: Words): Promise<void> {
  const ended = await appliance.cli('master', 'import', 'bad', source);
  expectFailure(ended, code, words);
  const [last] = await appliance.records<Operation[]>('/operations?limit=1');
  expect(last).toMatchObject({ kind: 'import', state: 'failed' });
  expectError(last?.error, code, words);
}

/** A root filesystem that would be good without the entries that follow it. */
function goodEntries(): TarEntry[] {
  return [
    { name: 'boot/', type: '5' },
    { name: 'boot/vmlinuz-6.1', content: Buffer.alloc(9000, 1) },
    { name: 'boot/initrd.img-6.1', content: Buffer.alloc(9000, 2) },
    { name: 'usr/bin/sh', content: elfHeader(62) },
  ];
}

async function writeTar(name: string, bytes: Uint8Array): Promise<string> {
  await writeFile(room.path(name), bytes);
  return room.path(name);
}

test('a good tar, made the same way, is taken', async () => {
  const source = await writeTar('good.tar', tarOf(goodEntries()));
  const { result } = await appliance.ask<Operation>('master', 'import', 'other', source);
  expect(result).toMatchObject({ master: 'other@1', kernel: '6.1' });
  await appliance.ask('master', 'remove', 'other@1');
});

describe('a master without a kernel', () => {
  test('is MASTER_UNBOOTABLE, with both ways out', async () => {
    const source = await makeTree(room.path('no-kernel'), { kernel: false });
    await expectRefused(source, 'MASTER_UNBOOTABLE', {
      says: /no-kernel has no kernel with its initramfs/,
      helps: /Install a kernel.*--allow-unbootable/,
    });
  });

  test('with a kernel but no initramfs is the same', async () => {
    const source = await makeTree(room.path('no-initramfs'));
    await rm(room.path('no-initramfs', 'boot', 'initrd.img-6.1.0-1-amd64'));
    await expectRefused(source, 'MASTER_UNBOOTABLE', {
      says: /initrd\.img-VERSION/,
      helps: /Install a kernel/,
    });
  });

  test('taken on request, is given to no machine', async () => {
    const source = await makeTree(room.path('no-kernel'), { kernel: false });
    await appliance.ask('master', 'import', 'headless', source, '--allow-unbootable');
    await appliance.ask('server', 'create', 'web-1', '--master', 'headless');
    const mac = '52:54:00:fa:00:01';
    await fetch(`${appliance.url}/boot/ipxe/script?mac=${mac}&arch=bios-x86`);
    await appliance.ask('machine', 'accept', mac);
    expectFailure(await appliance.cli('server', 'assign', 'web-1', mac), 'MASTER_UNBOOTABLE', {
      says: /headless@1 has no kernel/,
      helps: /Install a kernel package.*import it again/,
    });
    expect(await appliance.records('/servers/web-1')).toMatchObject({
      state: 'unassigned',
      generation: 0,
    });
    await appliance.ask('server', 'remove', 'web-1');
    await appliance.ask('master', 'remove', 'headless@1');
  });
});

describe('a master of an unknown architecture', () => {
  test('is ARCH_UNKNOWN, with the processor it is for and those that are supported', async () => {
    // EM_RISCV
    const source = await makeTree(room.path('riscv'), { machine: 243 });
    await expectRefused(source, 'ARCH_UNKNOWN', { says: /ELF machine 243/, helps: /x86_64 or arm64/ });
  });

  test('without any program in it, likewise', async () => {
    const source = await makeTree(room.path('no-programs'));
    await rm(room.path('no-programs', 'usr'), { recursive: true });
    await expectRefused(source, 'ARCH_UNKNOWN', { says: /no program in \/bin/, helps: /x86_64 or arm64/ });
  });
});

describe('a tar', () => {
  const hostile: readonly (readonly [string, readonly TarEntry[], RegExp])[] = [
    [
      'with ../ in a path',
      [{ name: '../escaped', content: Buffer.from('x') }],
      /"\.\.\/escaped" climbs with \.\./,
    ],
    [
      'with ../ inside a path',
      [{ name: 'usr/../../escaped', content: Buffer.from('x') }],
      /climbs with \.\./,
    ],
    [
      'with an absolute path',
      [{ name: '/tmp/escaped', content: Buffer.from('x') }],
      /"\/tmp\/escaped" is absolute/,
    ],
    [
      'that escapes through a relative link',
      [
        { name: 'srv', type: '2', target: '../..' },
        { name: 'srv/escaped', content: Buffer.from('x') },
      ],
      /"srv\/escaped" leads out of the image through a symbolic link/,
    ],
    [
      'that escapes through an absolute link',
      [
        { name: 'srv', type: '2', target: '/tmp' },
        { name: 'srv/escaped', content: Buffer.from('x') },
      ],
      /"srv\/escaped" goes through the symbolic link to \/tmp/,
    ],
    [
      'that escapes through a chain of links',
      [
        { name: 'a', type: '2', target: 'usr' },
        { name: 'usr/b', type: '2', target: '../..' },
        { name: 'a/b/escaped', content: Buffer.from('x') },
      ],
      /leads out of the image through a symbolic link/,
    ],
    [
      'with a hard link to outside',
      [{ name: 'passwd', type: '1', target: '../../etc/passwd' }],
      /climbs with \.\./,
    ],
    ['with an absolute hard link', [{ name: 'passwd', type: '1', target: '/etc/passwd' }], /is absolute/],
    ['with a hard link to nothing', [{ name: 'a', type: '1', target: 'b' }], /hard link to "b"/],
    [
      'with one path twice',
      [
        { name: 'etc/shadow', content: Buffer.from('x') },
        { name: 'etc/shadow', content: Buffer.from('y') },
      ],
      /"etc\/shadow" is in the archive twice/,
    ],
  ];

  test.each(hostile)('%s is IMAGE_INVALID and names the entry', async (_, entries, says) => {
    const source = await writeTar('hostile.tar', tarOf([...goodEntries(), ...entries]));
    await expectRefused(source, 'IMAGE_INVALID', { says, helps: /./ });
    for (const outside of [room.path('escaped'), room.path('state', 'escaped'), '/tmp/escaped', '/escaped']) {
      expect(existsSync(outside)).toBe(false);
    }
  });

  const whole = tarOf(goodEntries());
  const cuts: readonly (readonly [string, number])[] = [
    ['in the middle of a file', whole.length - 9000],
    ['in the middle of a header', 512 + 200],
    ['between two entries, without the end mark', whole.length - 1024],
  ];

  test.each(cuts)('truncated %s is IMAGE_INVALID and says so', async (_, length) => {
    const source = await writeTar('truncated.tar', whole.subarray(0, length));
    await expectRefused(source, 'IMAGE_INVALID', { says: /truncated/, helps: /./ });
  });

  test('truncated inside its compression is IMAGE_INVALID and says so', async () => {
    const packed = await promisify(gzip)(whole);
    const source = await writeTar('truncated.tar.gz', packed.subarray(0, packed.length - 20));
    await expectRefused(source, 'IMAGE_INVALID', { says: /truncated|unexpected end|damaged/i, helps: /./ });
  });

  test('with a flipped bit in a header is IMAGE_INVALID', async () => {
    const bytes = Buffer.from(whole);
    bytes[512 + 3] = (bytes[512 + 3] ?? 0) ^ 1;
    const source = await writeTar('flipped.tar', bytes);
    await expectRefused(source, 'IMAGE_INVALID', { says: /checksum|header/, helps: /./ });
  });
});

test('a file that is no image is IMAGE_INVALID and says what would be', async () => {
  const source = await writeTar('song.mp3', Buffer.alloc(5000, 7));
  await expectRefused(source, 'IMAGE_INVALID', {
    says: /song\.mp3/,
    helps: /directory, a tar or an OCI archive/,
  });
});

test('a source that is not there is NOT_FOUND, and where it must be is said', async () => {
  const source = room.path('nowhere');
  await expectRefused(source, 'NOT_FOUND', { says: source, helps: /Copy it to the appliance/ });
});
