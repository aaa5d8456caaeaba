import { describe, expect, test } from 'vitest';
import {
  isSelected,
  type ModuleInfo,
  moduleClosure,
  moduleIndexes,
  moduleInfo,
  moduleName,
} from './kernel-modules.ts';

/** The least ELF64 file that has a `.modinfo` section. */
function fakeModule(info: Readonly<Record<string, string>>): Buffer {
  const modinfo = Buffer.from(
    Object.entries(info)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(''),
  );
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const table = 64 + modinfo.length + names.length;
  const file = Buffer.alloc(table + 3 * 64);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeBigUInt64LE(BigInt(table), 0x28);
  file.writeUInt16LE(64, 0x3a);
  file.writeUInt16LE(3, 0x3c);
  file.writeUInt16LE(2, 0x3e);
  modinfo.copy(file, 64);
  names.copy(file, 64 + modinfo.length);
  const header = (index: number, name: number, offset: number, bytes: number) => {
    const at = table + index * 64;
    file.writeUInt32LE(name, at);
    file.writeBigUInt64LE(BigInt(offset), at + 0x18);
    file.writeBigUInt64LE(BigInt(bytes), at + 0x20);
  };
  header(1, 1, 64, modinfo.length);
  header(2, 10, 64 + modinfo.length, names.length);
  return file;
}

const module = (name: string, rest: Partial<ModuleInfo> = {}): ModuleInfo => ({
  name,
  depends: [],
  softPre: [],
  aliases: [],
  ...rest,
});

describe('kernel modules', () => {
  test('names use underscores whatever the file is called', () => {
    expect(moduleName('kernel/drivers/nvme/host/nvme-core.ko.xz')).toBe('nvme_core');
  });

  test('.modinfo tells dependencies, soft dependencies and aliases', () => {
    const file = fakeModule({
      depends: 'a-b,c',
      softdep: 'pre: crypto-crc32c x-y post: z',
      alias: 'pci:v00008086d*',
    });
    expect(moduleInfo('kernel/fs/f-s.ko', file)).toEqual({
      name: 'f_s',
      depends: ['a_b', 'c'],
      softPre: ['crypto-crc32c', 'x-y'],
      aliases: ['pci:v00008086d*'],
    });
  });

  test('a file that is no module is refused by name', () => {
    expect(() => moduleInfo('kernel/x.ko', Buffer.from('nothing'))).toThrow(
      /kernel\/x\.ko is not a kernel module/,
    );
  });

  test('selection is by directory or single module, exclusions win', () => {
    const selection = { include: ['drivers/net/', 'fs/ext4'], exclude: ['drivers/net/wireless/'] };
    expect(isSelected('kernel/drivers/net/e1000.ko.zst', selection)).toBe(true);
    expect(isSelected('kernel/drivers/net/wireless/ath.ko', selection)).toBe(false);
    expect(isSelected('kernel/fs/ext4.ko', selection)).toBe(true);
    expect(isSelected('kernel/fs/ext4x.ko', selection)).toBe(false);
  });

  test('what a chosen module needs comes along from anywhere', async () => {
    const files: Record<string, Buffer> = {
      'kernel/drivers/net/nic.ko': fakeModule({ depends: 'bus', softdep: 'pre: extra-one' }),
      'kernel/drivers/other/bus.ko': fakeModule({ depends: 'builtin_thing' }),
      'kernel/lib/extra-one.ko': fakeModule({}),
      'kernel/sound/noise.ko': fakeModule({}),
    };
    const chosen = await moduleClosure(
      Object.keys(files),
      { include: ['drivers/net/'], exclude: [] },
      async (path) => files[path] as Buffer,
    );
    expect([...chosen.keys()].sort()).toEqual([
      'kernel/drivers/net/nic.ko',
      'kernel/drivers/other/bus.ko',
      'kernel/lib/extra-one.ko',
    ]);
  });

  test('modules.dep lists each dependency before what it needs itself', () => {
    const { dep, alias } = moduleIndexes(
      new Map([
        ['kernel/top.ko', module('top', { depends: ['left', 'right'], aliases: ['pci:*'] })],
        ['kernel/left.ko', module('left', { depends: ['base'] })],
        ['kernel/right.ko', module('right', { depends: ['base', 'left'] })],
        ['kernel/base.ko', module('base')],
      ]),
    );
    expect(dep.split('\n')).toEqual([
      'kernel/base.ko:',
      'kernel/left.ko: kernel/base.ko',
      'kernel/right.ko: kernel/left.ko kernel/base.ko',
      'kernel/top.ko: kernel/right.ko kernel/left.ko kernel/base.ko',
      '',
    ]);
    expect(alias).toBe('alias pci:* top\n');
  });

  test('modules that need each other do not loop', () => {
    const { dep } = moduleIndexes(
      new Map([
        ['a.ko', module('a', { depends: ['b'] })],
        ['b.ko', module('b', { depends: ['a'] })],
      ]),
    );
    expect(dep).toBe('a.ko: b.ko\nb.ko: a.ko\n');
  });
});
