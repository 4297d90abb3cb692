import { useQuery } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import { readJson } from '../../form/json'
import type { Schema } from '../../form/schema'

export interface CatalogueHandler {
  name: string
  description: string
  exposed: boolean
  /** Null: it takes anything. */
  schema: Schema | null
}

/** The catalogue of handlers; defaults in schemas are exact. */
export function useHandlers() {
  return useQuery({
    queryKey: ['handlers with schemas'],
    staleTime: 30_000,
    queryFn: async ({ signal }) => {
      const columns = 'name,description,exposed,payload_schema::text'
      const rows = (await answer(supabase.from('job_handlers').select(columns).order('name').limit(1000).abortSignal(signal))) as unknown as {
        name: string; description: string; exposed: boolean; payload_schema: string
      }[]
      return rows.map(({ payload_schema, ...row }): CatalogueHandler => ({ ...row, schema: schemaOf(payload_schema) }))
    },
  })
}

function schemaOf(text: string): Schema | null {
  try {
    const schema = readJson(text)
    return schema !== null && Object.keys(schema).length > 0 ? (schema as unknown as Schema) : null
  } catch {
    return null
  }
}
