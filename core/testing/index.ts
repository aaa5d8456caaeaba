/** Conformance suites and fakes for plugin authors and embedders. */
export {};
