import packageFile from '../package.json' with { type: 'json' }

/** Version of atedge, as `info` and `--version` print it. */
export const version: string = packageFile.version
