import { useEffect, useState } from 'react'
import { config, supabase } from '../../data/client'
import { useTenancy } from '../../data/session'
import { visible } from '../../lib/text'
import { Panel } from '../../ui/basics'
import { Code } from '../../ui/copy'
import { curlOf, javascriptOf, sqlOf } from './snippets'

const LANGUAGES = { 'supabase-js': javascriptOf, curl: curlOf, SQL: sqlOf }
type Language = keyof typeof LANGUAGES

/** What a person sees who has no job yet: how to insert the first, with the values of this project. */
export function FirstJob() {
  const { workspace, name, canWrite } = useTenancy()
  const [language, setLanguage] = useState<Language>('supabase-js')
  const [token, setToken] = useState('')
  useEffect(() => {
    void supabase.auth.getSession().then(({ data }) => setToken(data.session?.access_token ?? ''))
  }, [])
  const text = LANGUAGES[language]({ url: config.supabaseUrl, key: config.publishableKey, token, workspace })
  return (
    <Panel title={workspace ? <>Insert the first job of <bdi>{visible(name)}</bdi></> : 'Insert your first job'} className="first-job">
      <div className="panel-body">
        {canWrite.why && <p className="warn">{canWrite.why}</p>}
        <p className="soft">A row is a job. This one runs at once, and shows up here as it does.</p>
        <div className="tabs" role="tablist" aria-label="Language">
          {(Object.keys(LANGUAGES) as Language[]).map((one) => (
            <button key={one} type="button" role="tab" className="tab" aria-selected={one === language} onClick={() => setLanguage(one)}>{one}</button>
          ))}
        </div>
        <Code text={text} label={language} />
        {language === 'supabase-js' && <p className="muted">Save it as job.mjs; its first line says how to run it, on Node 20 and later. An app signs its users in with supabase.auth instead.</p>}
        {language !== 'SQL' && <p className="muted">The token is that of your session: it is valid for an hour at most, and acts as you.</p>}
      </div>
    </Panel>
  )
}
