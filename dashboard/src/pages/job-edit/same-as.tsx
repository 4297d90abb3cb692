import { useState } from 'react'
import { config } from '../../data/client'
import { Code } from '../../ui/copy'
import { asCurl, asJavaScript, asSql, type Write } from './snippets'

const LANGUAGES = ['SQL', 'supabase-js', 'curl'] as const

/** The same as the form would write, for programs. */
export function SameAs({ write, hasSecrets, lacksHandler }: { write: Write; hasSecrets: boolean; lacksHandler: boolean }) {
  const [language, setLanguage] = useState<(typeof LANGUAGES)[number]>('SQL')
  const text = {
    SQL: () => asSql(write),
    'supabase-js': () => asJavaScript(write) ?? '// JavaScript would round a number of this payload: use SQL or curl',
    curl: () => asCurl(write, { url: config.supabaseUrl, key: config.publishableKey }),
  }[language]()
  return (
    <div className="same-as">
      <div className="tabs" role="tablist" aria-label="Language">
        {LANGUAGES.map((one) => (
          <button key={one} type="button" role="tab" className="tab" aria-selected={one === language} onClick={() => setLanguage(one)}>{one}</button>
        ))}
      </div>
      <Code text={text} label={language} />
      {lacksHandler && <p className="field-hint">Choose a handler: it takes the place of {'<handler>'}.</p>}
      {hasSecrets && <p className="field-hint">Secrets are left out: put them in the place of [redacted].</p>}
    </div>
  )
}
