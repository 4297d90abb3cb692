/** In place of `@supabase/storage-js`, which supabase-js constructs: the dashboard stores no files. */
export class StorageClient {}
export class StorageApiError extends Error {}
