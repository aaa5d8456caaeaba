/** The files that git tracks, as tests of the repository's structure see them. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Tracked paths that exist, relative to the root. */
export function trackedFiles(): readonly string[] {
  const list = execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
  return list.split('\0').filter((path) => path !== '' && existsSync(join(ROOT, path)));
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Runs a program of node_modules in the root; its exit code and everything it printed. */
export function runTool(
  path: string,
  args: readonly string[],
  cwd: string = ROOT,
): { readonly code: number; readonly output: string } {
  try {
    const output = execFileSync(process.execPath, [join(ROOT, 'node_modules', path), ...args], {
      cwd,
      encoding: 'utf8',
      stdio: 'pipe',
      maxBuffer: 1 << 26,
    });
    return { code: 0, output };
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
    return { code: status, output: stdout + stderr };
  }
}
