/** Where the program of a thread is, from the module that starts it. */

export interface ThreadProgram {
  readonly file: URL;
  /** What Node has to be told besides. */
  readonly execArgv?: string[];
}

/**
 * For `new Worker`: `thread.ts` or `thread.js` beside the module `here` (its `import.meta.url`) called `starter.ts` or `starter.js`; in the
 * agent's bundle, which is one file, the file `bundled` beside that.
 */
export function threadProgram(here: string, starter: string, bundled: string): ThreadProgram {
  if (here.endsWith('.ts'))
    return { file: new URL('./thread.ts', here), execArgv: ['--conditions=overdub-source'] };
  return { file: new URL(here.endsWith(`/${starter}.js`) ? './thread.js' : `./${bundled}`, here) };
}
