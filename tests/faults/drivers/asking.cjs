// As asking.py, with @google-cloud/bigquery.
const {BigQuery} = require('@google-cloud/bigquery');

async function main(name) {
  const bigquery = new BigQuery({autoRetry: false, maxRetries: 0});
  for (let number = 0; ; number++) {
    const marker = `${name}-${String(number).padStart(5, '0')}`;
    let done = false;
    try {
      const [job] = await bigquery.createQueryJob({query: `SELECT '${marker}' AS marker`});
      const [rows] = await job.getQueryResults();
      done = rows.length === 1 && rows[0].marker === marker;
    } catch (error) {
      await new Promise(resolve => setTimeout(resolve, 400));
    }
    console.log(done ? 'got' : 'failed', marker);
  }
}

main(process.argv[2]);
