/** Which words of a command line name the command: those that are neither options nor options' values. */

const VALUED = new Set(['--url', '--token', '--config', '--state']);

export interface Words {
  readonly args: readonly string[];
  readonly list: readonly string[];
  /** The arguments without the first `count` words: what is left for the command. */
  without(count: number): readonly string[];
}

export function splitWords(args: readonly string[]): Words {
  const at: number[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] as string;
    if (arg === '--') break;
    if (VALUED.has(arg)) index += 1;
    else if (!arg.startsWith('-')) at.push(index);
  }
  return {
    args,
    list: at.map((index) => args[index] as string),
    without(count) {
      const removed = new Set(at.slice(0, count));
      return args.filter((_, index) => !removed.has(index));
    },
  };
}

/** The command whose whole path the words begin with; the longest when several do. */
export function findCommand<C extends { readonly path: readonly string[] }>(
  commands: readonly C[],
  words: Words,
): C | undefined {
  return commands
    .filter(({ path }) => path.length > 0 && path.every((word, index) => words.list[index] === word))
    .toSorted((a, b) => b.path.length - a.path.length)[0];
}
