/** Inputs that must be there, outputs that must not. */

import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OverdubError } from '../../errors.ts';
import { type Call, type Flag, UsageError } from '../command.ts';

/** Of every command that writes a file. */
export const OUTPUT_FLAGS: Readonly<Record<string, Flag>> = {
  output: {
    type: 'string',
    short: 'o',
    value: 'FILE',
    summary: 'Where to write; appears whole or not at all',
  },
  force: { type: 'boolean', summary: 'Overwrite the output if it exists' },
};

/** Length of a regular file; INPUT_INVALID says what is wrong with it. */
export async function inputBytes(path: string): Promise<number> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'does not exist' : `cannot be read (${error.code})`;
    throw new OverdubError('INPUT_INVALID', `${path} ${why}.`, 'Check the path.', { cause: error });
  });
  if (found.isFile()) return found.size;
  throw new OverdubError(
    'INPUT_INVALID',
    `${path} is no regular file.`,
    'Name a file, not a folder or device.',
  );
}

/** An argument's path, counted from where the command runs. */
export function pathOf(call: Call, path: string): string {
  return resolve(call.environment.cwd, path);
}

/** The path of --output; CONFLICT when it exists and --force is not given. */
export async function outputPath(call: Call): Promise<string> {
  const given = call.text('output');
  if (given === undefined) throw new UsageError('--output (-o) FILE is missing.');
  const path = pathOf(call, given);
  if (call.flag('force')) return path;
  const there = await stat(path).catch(() => undefined);
  if (there === undefined) return path;
  throw new OverdubError('CONFLICT', `${path} exists.`, 'Name another output, or overwrite it with --force.');
}

/** SHA-256 of a file, in hexadecimal. */
export async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024, signal }))
    hash.update(piece);
  return hash.digest('hex');
}

/** Lets `write` make a file beside `path`, checks its digest, and gives it its name only then. */
export async function writeChecked(
  path: string,
  sha256: string,
  signal: AbortSignal,
  write: (path: string) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`);
  try {
    await write(temporary);
    const made = await digestOf(temporary, signal);
    if (made !== sha256) {
      throw new OverdubError(
        'DELTA_INVALID',
        `What the delta makes has the SHA-256 ${made} instead of ${sha256}.`,
        'The base is another one than the delta was made from, or the delta is damaged; nothing was written.',
      );
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
