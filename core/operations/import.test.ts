import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageSource, SourceEntry } from '../contracts/image-source.ts';
import { OverdubError } from '../errors.ts';
import { ended, type Ground, newGround, newWorld, type World } from './fixture.ts';
import { compareVersions, kernelsIn, newestKernel } from './kernels.ts';

let ground: Ground;
let world: World;
let closed: number;

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
  closed = 0;
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

function elf(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt8(2, 4);
  header.writeUInt8(1, 5);
  header.writeUInt16LE(machine, 18);
  return header;
}

function file(path: string, bytes: Uint8Array = Buffer.from(path), claimed = bytes.length): SourceEntry {
  return {
    entry: { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtimeNs: '1' },
    bytes: claimed,
    async *open() {
      yield bytes;
    },
  };
}

const other = (path: string, type: 'directory' | 'hardlink' | 'symlink', target?: string): SourceEntry => ({
  entry: {
    path,
    type,
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeNs: '1',
    ...(target === undefined ? {} : { target }),
  },
});

const bootable = [
  file('usr/bin/dash', elf(62)),
  file('boot/vmlinuz-6.1.0-9-amd64'),
  file('boot/initrd.img-6.1.0-9-amd64'),
];

function source(entries: readonly SourceEntry[], failure?: Error): ImageSource {
  return {
    async *entries() {
      yield* entries;
      if (failure !== undefined) throw failure;
    },
    async close() {
      closed += 1;
    },
  };
}

/** Imports these entries as `web` from a path that exists. */
async function imported(entries: readonly SourceEntry[], allowUnbootable = false, failure?: Error) {
  world.sources.set('/', () => source(entries, failure));
  return ended(world, await world.control.importMaster({ name: 'web', source: '/', allowUnbootable }, 'ann'));
}

async function expectNothingLeft(): Promise<void> {
  expect(await world.repository.listMasters()).toEqual([]);
  expect(world.repository.openSessions).toBe(0);
  expect(closed).toBe(1);
}

describe('an import', () => {
  it('makes the next version of a master, with its newest kernel and its architecture', async () => {
    const newer = [file('boot/vmlinuz-6.1.0-10-amd64'), file('boot/initrd.img-6.1.0-10-amd64')];
    const links = [
      other('usr', 'directory'),
      other('bin', 'symlink', 'usr/bin'),
      other('usr/bin/sh', 'hardlink', 'usr/bin/dash'),
    ];
    expect(await imported([...bootable, ...newer, ...links])).toMatchObject({
      state: 'done',
      result: { master: 'web@1', arch: 'x86_64', kernel: '6.1.0-10-amd64' },
    });
    const [master] = await world.control.listMasters();
    expect(master).toMatchObject({
      kernel: { image: 'boot/vmlinuz-6.1.0-10-amd64', initrd: 'boot/initrd.img-6.1.0-10-amd64' },
      source: '/',
    });
    expect((await imported(bootable)).result).toMatchObject({ master: 'web@2' });
    expect((await world.control.getMaster('web')).version).toBe(2);
    const { entry, content } = await world.control.readFile('web@1', '/usr/bin/sh');
    expect(entry.path).toBe('usr/bin/dash');
    const read: Uint8Array[] = [];
    for await (const piece of content) read.push(piece);
    expect(Buffer.concat(read)).toEqual(elf(62));
  });

  it('tells arm64 programs by their header', async () => {
    expect((await imported([file('bin/busybox', elf(183)), ...bootable.slice(1)])).result).toMatchObject({
      arch: 'arm64',
    });
  });

  it.each([
    ['without a kernel', [file('usr/bin/dash', elf(62))], 'MASTER_UNBOOTABLE'],
    ['with a kernel that has no initramfs', bootable.slice(0, 2), 'MASTER_UNBOOTABLE'],
    ['of an unknown architecture', [file('usr/bin/dash', elf(243)), ...bootable.slice(1)], 'ARCH_UNKNOWN'],
    ['without one program', bootable.slice(1), 'ARCH_UNKNOWN'],
    ['that is truncated', [...bootable, file('etc/motd', Buffer.from('x'), 1000)], 'IMAGE_INVALID'],
  ] as const)('%s is refused, and leaves nothing', async (_what, entries, code) => {
    expect(await imported(entries)).toMatchObject({ state: 'failed', error: { code } });
    await expectNothingLeft();
  });

  it('that breaks off in the middle leaves nothing', async () => {
    const hostile = new OverdubError(
      'IMAGE_INVALID',
      'The image names the path "../etc".',
      'Do not import it.',
    );
    expect(await imported(bootable, false, hostile)).toMatchObject({
      state: 'failed',
      error: { code: 'IMAGE_INVALID', remedy: 'Do not import it.' },
    });
    await expectNothingLeft();
  });

  it('takes an image that cannot boot when told so', async () => {
    expect(await imported([file('etc/motd')], true)).toMatchObject({
      state: 'done',
      result: { kernel: null },
    });
  });

  it('says when nothing is there, or nobody reads it', async () => {
    const run = async (path: string) =>
      ended(world, await world.control.importMaster({ name: 'web', source: path }, 'ann'));
    expect((await run('/no/such/path')).error?.code).toBe('NOT_FOUND');
    expect((await run('/')).error?.code).toBe('IMAGE_INVALID');
    const relative = world.control.importMaster({ name: 'web', source: 'here' }, 'ann');
    await expect(relative).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    for (const name of ['Web', 'web@1', '../x', '']) {
      const naming = world.control.importMaster({ name, source: '/' }, 'ann');
      await expect(naming).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    }
  });

  it('can be cancelled, and leaves nothing', async () => {
    const reached = Promise.withResolvers<void>();
    const endless: ImageSource = {
      async *entries(signal) {
        yield* bootable;
        reached.resolve();
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      close: async () => {
        closed += 1;
      },
    };
    world.sources.set('/', () => endless);
    const operation = await world.control.importMaster({ name: 'web', source: '/' }, 'ann');
    await reached.promise;
    expect((await world.control.cancelOperation(operation.id, 'ann')).state).toBe('cancelled');
    await world.clock.advance(0);
    await expectNothingLeft();
  });

  it('removes masters, but none that a server is made from', async () => {
    await imported(bootable);
    await world.control.createServer({ name: 'web-1', master: 'web@1' }, 'ann');
    await expect(world.control.removeMaster('web@1', 'ann')).rejects.toMatchObject({ code: 'CONFLICT' });
    await world.control.removeServer('web-1', 'ann');
    await world.control.removeMaster('web@1', 'ann');
    await expect(world.control.getMaster('web@1')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('kernels', () => {
  it('are ordered as versions, not as text', () => {
    const ordered = ['5.10.0-28', '6.1.0~rc1', '6.1.0', '6.1.0-9', '6.1.0-10', '6.1.0-10-amd64', '6.12.1'];
    for (const [at, version] of ordered.entries()) {
      for (const later of ordered.slice(at + 1)) {
        expect(compareVersions(version, later), `${version} < ${later}`).toBeLessThan(0);
        expect(compareVersions(later, version)).toBeGreaterThan(0);
      }
      expect(compareVersions(version, version)).toBe(0);
    }
  });

  it('count only with their initramfs, under any distribution’s name', () => {
    const paths = [
      'boot/vmlinuz-7',
      'boot/vmlinuz-5',
      'boot/initramfs-5.img',
      'boot/vmlinuz-4',
      'boot/initrd.img-4',
    ];
    expect(kernelsIn(paths)).toHaveLength(2);
    expect(newestKernel(kernelsIn(paths))?.version).toBe('5');
    expect(newestKernel([])).toBeUndefined();
  });
});
