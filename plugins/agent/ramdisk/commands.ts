import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Arch, type CommandContribution, type CommandIo, type Log, OverdubError } from '@overdub/core';
import { ARCHITECTURES, buildCommand, ramdiskSubdirectory } from './architectures.ts';
import { buildRamdisk, type RamdiskInfo, readRamdiskInfo } from './build.ts';

/** `$XDG_CACHE_HOME/overdub/ramdisk`, else `/var/cache/overdub/ramdisk` for root, `~/.cache/overdub/ramdisk` for others. */
export function defaultRamdiskDir(env: NodeJS.ProcessEnv = process.env, uid = process.getuid?.()): string {
  return join(cacheHome(env, uid), 'overdub', 'ramdisk');
}

/** Where downloads and compressed parts are kept between builds: beside the ramdisk. */
export function defaultRamdiskCacheDir(
  env: NodeJS.ProcessEnv = process.env,
  uid = process.getuid?.(),
): string {
  return join(cacheHome(env, uid), 'overdub', 'ramdisk-cache');
}

function cacheHome(env: NodeJS.ProcessEnv, uid: number | undefined): string {
  if (env.XDG_CACHE_HOME) return env.XDG_CACHE_HOME;
  return uid === 0 ? '/var/cache' : join(env.HOME ?? '.', '.cache');
}

const ARCHS = Object.keys(ARCHITECTURES) as readonly Arch[];

const OPTIONS = {
  arch: { type: 'string' },
  out: { type: 'string' },
  cache: { type: 'string' },
  suite: { type: 'string' },
  refresh: { type: 'boolean' },
} as const;

/** `overdub ramdisk build` and `overdub ramdisk show`. */
export const ramdiskCommands: readonly CommandContribution[] = [
  {
    path: ['ramdisk', 'build'],
    summary: 'Build the ramdisk that machines netboot into, from verified Debian packages',
    usage:
      'overdub ramdisk build [--arch x86_64|arm64] [--out DIR] [--cache DIR] [--suite RELEASE] [--refresh]',
    examples: [
      'overdub ramdisk build',
      'overdub ramdisk build --refresh   # newest kernel and tools of this release',
      'overdub ramdisk build --arch arm64   # beside the x86-64 one, on any host',
      'overdub ramdisk build --out /srv/overdub/ramdisk --json',
    ],
    run: build,
  },
  {
    path: ['ramdisk', 'show'],
    summary: 'Show what the built ramdisks hold; with --json one line each',
    usage: 'overdub ramdisk show [--arch x86_64|arm64] [--out DIR]',
    examples: ['overdub ramdisk show', 'overdub ramdisk show --json'],
    run: show,
  },
];

async function build(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse(args, OPTIONS);
  const arch = archOf(options.arch) ?? 'x86_64';
  const outDir = join(options.out ?? defaultRamdiskDir(), ramdiskSubdirectory(arch));
  const info = await buildRamdisk({
    outDir,
    cacheDir:
      options.cache ?? (options.out === undefined ? defaultRamdiskCacheDir() : `${options.out}-cache`),
    arch,
    log: spokenLog(io),
    signal: io.signal,
    ...(options.suite === undefined ? {} : { suite: options.suite }),
    ...(options.refresh === undefined ? {} : { refresh: options.refresh }),
  });
  present(info, outDir, io);
  return 0;
}

async function show(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse(args, { arch: OPTIONS.arch, out: OPTIONS.out });
  const base = options.out ?? defaultRamdiskDir();
  const only = archOf(options.arch);
  let shown = 0;
  for (const arch of only === undefined ? ARCHS : [only]) {
    const dir = join(base, ramdiskSubdirectory(arch));
    const info = await readRamdiskInfo(dir);
    if (info === undefined) continue;
    if (shown++ > 0 && !io.json) io.print('');
    present(info, dir, io);
  }
  if (shown > 0) return 0;
  const missing = only ?? 'x86_64';
  throw new OverdubError(
    'NOT_FOUND',
    `There is no ramdisk in ${join(base, ramdiskSubdirectory(missing))}.`,
    `Run \`${buildCommand(missing)}\`.`,
  );
}

/** Undefined when none is named. */
function archOf(name: string | undefined): Arch | undefined {
  const arch = ARCHS.find((known) => known === name);
  if (arch !== undefined || name === undefined) return arch;
  throw new OverdubError(
    'ARCH_UNKNOWN',
    `There is no ramdisk for the processor architecture ${JSON.stringify(name)}.`,
    `Name one of: ${ARCHS.join(', ')}.`,
  );
}

function parse<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  args: readonly string[],
  options: T & {},
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (cause) {
    throw new OverdubError(
      'INPUT_INVALID',
      cause instanceof Error ? cause.message : String(cause),
      'See `overdub ramdisk build --help`.',
      { cause },
    );
  }
}

function present(info: RamdiskInfo, dir: string, io: CommandIo): void {
  const { vmlinuz, initrd } = info.files;
  if (io.json) {
    io.print(JSON.stringify({ dir, bytes: vmlinuz.bytes + initrd.bytes, ...info }));
    return;
  }
  io.print(`ramdisk   ${dir}`);
  io.print(`kernel    ${info.kernel} for ${info.arch}, ${megabytes(vmlinuz.bytes)}`);
  io.print(`initramfs ${megabytes(initrd.bytes)}, from ${info.packages.length} packages`);
  io.print(`digest    ${info.digest}`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Steps of a long build go to standard error, so that `--json` stays parseable. */
function spokenLog(io: CommandIo): Log {
  const say = (fields: object, message: string) => {
    const detail = Object.entries(fields).map(([key, value]) => `${key} ${value}`);
    io.error(detail.length === 0 ? message : `${message} (${detail.join(', ')})`);
  };
  return { debug: () => {}, info: say, warn: say, error: say };
}
