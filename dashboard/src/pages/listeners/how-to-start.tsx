import { config } from '../../data/client'
import { Code } from '../../ui/copy'

export function HowToStart() {
  const text = `pip install supabase-job-listener
export SUPABASE_URL=${config.supabaseUrl}
export SUPABASE_SECRET_KEY=sb_secret_…   # of the project's API settings; never in a browser
listener doctor   # checks keys, grants, publication
listener run`
  return <Code text={text} label="Start a listener" />
}
