// @google-cloud/bigquery, as a user's script would use it: nothing is configured but by the environment.
// node.cjs query SQL | job SQL | pages SQL PAGE_SIZE
const {BigQuery} = require('@google-cloud/bigquery');

async function main(action, sql, size) {
  const bigquery = new BigQuery();
  switch (action) {
    case 'query': {
      const [rows] = await bigquery.query(sql);
      return {rows};
    }
    case 'job': {
      const [job] = await bigquery.createQueryJob({query: sql});
      const [rows] = await job.getQueryResults();
      return {rows};
    }
    case 'pages': {
      const [job] = await bigquery.createQueryJob({query: sql});
      const all = [];
      let options = {maxResults: Number(size), autoPaginate: false};
      while (options) {
        const [rows, next] = await job.getQueryResults(options);
        all.push(...rows);
        options = next && {...next, autoPaginate: false};
      }
      return {rows: all};
    }
    default:
      throw new Error(`no such action: ${action}`);
  }
}

main(...process.argv.slice(2))
  .catch(error => ({error: error.message, type: error.constructor.name}))
  .then(outcome => console.log(JSON.stringify(outcome)));
