import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { ERROR_CODES, HOOK_TABLE } from '@overdub/core';
import { expect, test } from 'vitest';
import { ROOT, readText, trackedFiles } from './repository-files.ts';

/** Rows of the first table with this first head: their cells, without backquotes. */
function rows(markdown: string, head: string): readonly (readonly string[])[] {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

test('docs/errors.md lists every code with its meaning', () => {
  const documented = rows(readText('docs/errors.md'), 'code').map(([code, meaning]) => [code, meaning]);
  expect(documented).toEqual(Object.entries(ERROR_CODES).map(([code, meaning]) => [`\`${code}\``, meaning]));
});

test('every code has advice', () => {
  for (const [code, , advice] of rows(readText('docs/errors.md'), 'code'))
    expect(advice, code).toMatch(/\w.*\.$/);
});

test('docs/hooks.md shows the hook table', () => {
  const table = Object.entries(HOOK_TABLE).map(([name, { kind, summary, previous, next }]) => [
    `\`${name}\``,
    kind,
    summary,
    previous,
    next,
  ]);
  expect(rows(readText('docs/hooks.md'), 'hook')).toEqual(table);
});

const markdown = trackedFiles().filter((path) => path.endsWith('.md'));

test.each(markdown)('relative links of %s lead somewhere', (path) => {
  const text = readText(path).replace(/```[\s\S]*?```/g, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] as string);
  const relative = links.filter((link) => !/^([a-z]+:|#)/.test(link));
  const dead = relative.filter((link) => !leads(path, link));
  expect(dead).toEqual([]);
});

function leads(from: string, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const target = normalize(join(dirname(from), file));
  if (!existsSync(join(ROOT, target))) return false;
  return anchor === undefined || !target.endsWith('.md') || headings(readText(target)).includes(anchor);
}

/** Anchors as the forges make them of headings. */
function headings(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] as string)
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
