import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asText, unifiedDiff } from './text-diff.ts';

/** The field's own tool applies what we print. */
function patch(before: string, diff: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'overdub-diff-'));
  try {
    writeFileSync(join(folder, 'file'), before);
    writeFileSync(join(folder, 'diff'), `--- file\n+++ file\n${diff}`);
    execFileSync('git', ['apply', '--unidiff-zero', '--whitespace=nowarn', '-p0', 'diff'], {
      cwd: folder,
      stdio: 'pipe',
    });
    return execFileSync('cat', [join(folder, 'file')], { encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('shows the change with three lines around it', () => {
  const before = 'a\nb\nc\nd\ne\nf\ng\nh\n';
  expect(unifiedDiff(before, before.replace('e', 'E'))).toBe(
    '@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n',
  );
});

test('distant changes are hunks of their own', () => {
  const lines = Array.from({ length: 40 }, (_, index) => `line ${index}\n`);
  const after = lines.with(2, 'two\n').with(30, 'thirty\n').join('');
  expect(unifiedDiff(lines.join(''), after)?.match(/^@@/gm)).toHaveLength(2);
});

test('equal texts have no difference; huge different ones are declined', () => {
  expect(unifiedDiff('a\n', 'a\n')).toBe('');
  const many = (mark: string) => Array.from({ length: 3000 }, (_, index) => `${mark}${index}\n`).join('');
  expect(unifiedDiff(many('a'), many('b'))).toBeUndefined();
});

test('git applies what we print', () => {
  const line = fc.constantFrom('a', 'b', 'c', '', 'long line');
  const text = fc
    .tuple(fc.array(line, { minLength: 1, maxLength: 25 }), fc.boolean())
    .map(([lines, end]) => lines.join('\n') + (end ? '\n' : ''))
    .filter((value) => value !== '');
  fc.assert(
    fc.property(text, text, (before, after) => {
      const diff = unifiedDiff(before, after) as string;
      if (before === after) expect(diff).toBe('');
      else expect(patch(before, diff)).toBe(after);
    }),
    { numRuns: 40 },
  );
});

test('binary is told apart from text', () => {
  expect(asText(Buffer.from('grüß\n'))).toBe('grüß\n');
  expect(asText(Buffer.from([0x68, 0, 0x69]))).toBeUndefined();
  expect(asText(Buffer.from([0xff, 0xfe]))).toBeUndefined();
});
