import { link, open, rename, rm, utimes } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { DiffEntry, LogEntry } from '../../contracts/control.ts';
import type { Entry } from '../../domain/manifest.ts';
import { OverdubError } from '../../errors.ts';
import { type ApiClient, collect, segment } from '../client.ts';
import { type Call, type Command, defineCommand } from '../command.ts';
import { safe, size, table, time } from '../format.ts';
import { textDifference } from '../text-of-change.ts';
import { referenceWithOffset } from '../times.ts';

const MARKS: Readonly<Record<DiffEntry['change'], string>> = {
  added: 'A',
  removed: 'D',
  content: 'M',
  metadata: 'm',
  type: 'T',
};
const REFERENCE_NOTE = 'web-1@12:45, web-1@latest, web-1@~2, web@3';

export const lookCommands: readonly Command[] = [
  defineCommand({
    path: ['diff'],
    summary: 'List what changed between two snapshots or masters, with the text of small files',
    positionals: ['FROM', 'TO'],
    flags: { 'no-text': { type: 'boolean', summary: 'Without text differences' } },
    examples: [
      'overdub diff web-1@12:45 web-1@13:00',
      `overdub diff web@3 web-1@latest   # ${REFERENCE_NOTE}`,
    ],
    async run(call) {
      const [from, to] = [reference(call, 0), reference(call, 1)];
      const client = call.client();
      const changes = client.lines<DiffEntry>('/diff', { from, to });
      if (call.json) return printArray(call, changes);
      return printDiff(call, client, changes, { from, to });
    },
  }),
  defineCommand({
    path: ['log'],
    summary: 'Tell in which snapshots of a server a path changed',
    positionals: ['SERVER', 'PATH'],
    flags: {},
    examples: ['overdub log web-1 /usr/lib/libssl.so.3'],
    async run(call) {
      const path = `/servers/${segment(call.positional(0))}/log`;
      const entries = await collect(
        call.client().lines<LogEntry>(path, { path: insidePath(call.positional(1)) }),
      );
      const rows = entries.map(({ snapshot, change, after }) => [
        snapshot.id,
        time(snapshot.endedAt),
        change,
        after?.content === undefined ? '-' : size(after.content.bytes),
        after?.content?.digest.slice(0, 16) ?? '-',
      ]);
      call.show(entries, () =>
        table(['snapshot', 'ended', 'change', 'size', 'sha-256'], rows, 'It is in no snapshot.'),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['cat'],
    summary: 'Write a file of a snapshot or master to standard output',
    positionals: ['IMAGE', 'PATH'],
    flags: {},
    examples: ['overdub cat web-1@12:45 /etc/nginx/nginx.conf'],
    async run(call) {
      const { entry, content } = await readFile(call);
      if (call.json) {
        const bytes = Buffer.concat(await collect(content));
        call.show({ ...entry, base64: bytes.toString('base64') }, () => '');
        return 0;
      }
      for await (const chunk of content) await call.environment.outBytes(chunk);
      return 0;
    },
  }),
  defineCommand({
    path: ['restore-file'],
    summary: 'Fetch a file of a snapshot or master to this machine',
    positionals: ['IMAGE', 'PATH', '[DESTINATION]'],
    flags: { force: { type: 'boolean', summary: 'Overwrite what is there' } },
    examples: [
      'overdub restore-file web-1@12:45 /etc/nginx/nginx.conf',
      'overdub restore-file web-1@~1 /etc/motd ./motd --force',
    ],
    async run(call) {
      const name = call.positionals()[2] ?? basename(call.positional(1));
      const destination = resolve(call.environment.cwd, name);
      const { entry, content } = await readFile(call);
      await writeRestored(destination, entry, content, call.flag('force'));
      call.show({ ...entry, destination }, () => `${destination} (${size(entry.bytes)})`);
      return 0;
    },
  }),
];

type FileEntry = Entry & { readonly bytes: number; readonly digest: string };

function readFile(call: Call): Promise<{ entry: FileEntry; content: AsyncIterable<Uint8Array> }> {
  const path = insidePath(call.positional(1));
  return call.client().bytes<FileEntry>(`/images/${segment(reference(call, 0))}/content`, { path });
}

/** Whole or not at all: a temporary file beside it, synced, then renamed (or linked, when nothing may be there). */
async function writeRestored(
  destination: string,
  entry: FileEntry,
  content: AsyncIterable<Uint8Array>,
  force: boolean,
): Promise<void> {
  const temporary = join(dirname(destination), `.${basename(destination)}.${process.pid}.overdub`);
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.chmod(entry.mode & 0o777);
    await file.sync();
    await file.close();
    const seconds = Number(BigInt(entry.mtimeNs) / 1_000_000n) / 1000;
    await utimes(temporary, seconds, seconds);
    if (force) await rename(temporary, destination);
    else await link(temporary, destination);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    throw new OverdubError(
      'CONFLICT',
      `${destination} exists already.`,
      'Name another destination, or add --force.',
    );
  } finally {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
  }
}

async function printDiff(
  call: Call,
  client: ApiClient,
  changes: AsyncIterable<DiffEntry>,
  images: { readonly from: string; readonly to: string },
): Promise<number> {
  const counts = new Map<DiffEntry['change'], number>();
  let texts = call.flag('no-text') ? undefined : textDifference(client, images);
  for await (const change of changes) {
    counts.set(change.change, (counts.get(change.change) ?? 0) + 1);
    call.environment.out(`${MARKS[change.change]} /${safe(change.path)}${sizesOf(change)}\n`);
    if (texts === undefined) continue;
    const text = await texts(change).catch((error: unknown) => {
      if (!(error instanceof OverdubError) || error.code !== 'UNAUTHORIZED') throw error;
      call.environment.err('Text differences need a token with the role operator.\n');
      return 'no right' as const;
    });
    if (text === 'no right') texts = undefined;
    else if (text !== undefined) call.environment.out(indent(text));
  }
  const summary = [...counts].map(([change, count]) => `${count} ${change}`).join(', ');
  call.environment.out(`${summary === '' ? 'no difference' : summary}\n`);
  return 0;
}

function sizesOf({ change, before, after }: DiffEntry): string {
  const [old, now] = [before?.content?.bytes, after?.content?.bytes];
  if (change === 'content' && old !== undefined && now !== undefined) return `  ${size(old)} → ${size(now)}`;
  const only = now ?? old;
  return only === undefined || change === 'metadata' ? '' : `  ${size(only)}`;
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : `    ${line.startsWith('\\') ? line : safe(line)}`))
    .join('\n');
}

/** One JSON document, written as it comes. */
async function printArray(call: Call, values: AsyncIterable<unknown>): Promise<number> {
  let separator = '[\n';
  for await (const value of values) {
    call.environment.out(`${separator}${JSON.stringify(value)}`);
    separator = ',\n';
  }
  call.environment.out(separator === '[\n' ? '[]\n' : '\n]\n');
  return 0;
}

function reference(call: Call, index: number): string {
  return referenceWithOffset(call.positional(index), call.environment.now());
}

function insidePath(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}
