/** What plugins that render boot plans share. A library: no plugin; of the core it knows contracts and coded errors. */

export * from './artifacts.ts';
export * from './grammar.ts';
export * from './loader.ts';
