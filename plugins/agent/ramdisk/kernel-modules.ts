/** Chooses kernel modules and writes the indexes modprobe reads, from what the modules say of themselves. */

import { section } from './elf.ts';

/** What a module's `.modinfo` section says. Names use `_`, as the kernel's do. */
export interface ModuleInfo {
  readonly name: string;
  /** Names of modules it needs. */
  readonly depends: readonly string[];
  /** Names or aliases that should be loaded first (`softdep: pre:`). */
  readonly softPre: readonly string[];
  readonly aliases: readonly string[];
}

/** `kernel/drivers/net/virtio_net.ko.xz` → `virtio_net`. */
export function moduleName(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1).replace(/\.ko(\.(xz|zst|gz))?$/, '');
  return base.replaceAll('-', '_');
}

/** Reads a module (uncompressed). Throws when the file is none. */
export function moduleInfo(path: string, file: Buffer): ModuleInfo {
  const info = section(file, '.modinfo');
  if (info === undefined) throw new Error(`${path} is not a kernel module: it has no .modinfo section`);
  const pairs = info.toString('latin1').split('\0').filter(Boolean);
  const values = (key: string) =>
    pairs.filter((pair) => pair.startsWith(`${key}=`)).map((pair) => pair.slice(key.length + 1));
  return {
    name: moduleName(path),
    depends: values('depends')
      .flatMap((list) => list.split(',').filter(Boolean))
      .map(underscored),
    softPre: values('softdep').flatMap(softPre),
    aliases: values('alias'),
  };
}

function underscored(name: string): string {
  return name.replaceAll('-', '_');
}

function softPre(value: string): string[] {
  const words = value.split(/\s+/);
  const from = words.indexOf('pre:');
  if (from < 0) return [];
  const to = words.indexOf('post:', from);
  return words.slice(from + 1, to < 0 ? undefined : to);
}

/** Which modules to take, by path below `kernel/`. A prefix ends in `/` or names one module. */
export interface ModuleSelection {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

export function isSelected(path: string, selection: ModuleSelection): boolean {
  const plain = path.replace(/^kernel\//, '').replace(/\.ko(\.(xz|zst|gz))?$/, '');
  const matches = (pattern: string) =>
    pattern.endsWith('/') ? plain.startsWith(pattern) : plain === pattern;
  return selection.include.some(matches) && !selection.exclude.some(matches);
}

/**
 * The selected modules and everything they depend on. `paths` is all there is, `read` gives a module's
 * uncompressed bytes. A dependency that is not among `paths` is built into the kernel.
 */
export async function moduleClosure(
  paths: readonly string[],
  selection: ModuleSelection,
  read: (path: string) => Promise<Buffer>,
): Promise<Map<string, { readonly info: ModuleInfo; readonly file: Buffer }>> {
  const pathOf = new Map(paths.map((path) => [moduleName(path), path]));
  const chosen = new Map<string, { info: ModuleInfo; file: Buffer }>();
  const queue = paths.filter((path) => isSelected(path, selection)).sort();
  for (const path of queue) {
    if (chosen.has(path)) continue;
    const file = await read(path);
    const info = moduleInfo(path, file);
    chosen.set(path, { info, file });
    for (const name of [...info.depends, ...info.softPre.map(underscored)]) {
      const dependency = pathOf.get(name);
      if (dependency !== undefined && !chosen.has(dependency)) queue.push(dependency);
    }
  }
  return chosen;
}

/**
 * `modules.dep` and `modules.alias` (modules.dep(5)) for the modules at these paths. Dependencies are listed so
 * that each stands before what it needs itself: modprobe loads the list from its end.
 */
export function moduleIndexes(modules: ReadonlyMap<string, ModuleInfo>): { dep: string; alias: string } {
  const pathOf = new Map([...modules].map(([path, info]) => [info.name, path]));
  const named = new Map([...modules.values()].map((info) => [info.name, info]));
  const byAlias = new Map([...modules.values()].flatMap((info) => info.aliases.map((a) => [a, info.name])));
  const direct = (info: ModuleInfo) => [
    ...info.depends,
    ...info.softPre.map((name) =>
      named.has(underscored(name)) ? underscored(name) : (byAlias.get(name) ?? ''),
    ),
  ];
  const needs = (name: string): string[] => {
    const order: string[] = [];
    const visit = (current: string, trail: readonly string[]) => {
      const info = named.get(current);
      if (info === undefined || order.includes(current) || trail.includes(current)) return;
      for (const next of direct(info)) visit(next, [...trail, current]);
      order.push(current);
    };
    visit(name, []);
    return order.slice(0, -1).reverse();
  };
  const sorted = [...modules].sort(([a], [b]) => (a < b ? -1 : 1));
  const dep = sorted.map(
    ([path, info]) =>
      `${path}:${needs(info.name)
        .map((n) => ` ${pathOf.get(n)}`)
        .join('')}\n`,
  );
  const alias = sorted.flatMap(([, info]) =>
    info.aliases.map((pattern) => `alias ${pattern} ${info.name}\n`),
  );
  return { dep: dep.join(''), alias: alias.join('') };
}
