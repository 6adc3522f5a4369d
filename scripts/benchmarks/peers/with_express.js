// The dashboard by Express and version 3 of the AWS SDK: `PORT=8000 node with_express.js`.
import { DynamoDBClient, GetItemCommand, QueryCommand } from "@aws-sdk/client-dynamodb";
import express from "express";
import nunjucks from "nunjucks";

const { PEER_EMAIL: email, PEER_TABLES: tables, PEER_INDEX: index, PEER_ENDPOINT: endpoint, PORT: port } = process.env;
const client = new DynamoDBClient({ endpoint });
const app = express();
nunjucks.configure(".", { autoescape: true, express: app });

const value = (stored) => ("N" in stored ? Number(stored.N) : stored.S);
const plain = (item) => Object.fromEntries(Object.entries(item).map(([name, stored]) => [name, value(stored)]));

app.get("/dashboard", async (request, response) => {
  const [account, tasks] = await Promise.all([
    client.send(new GetItemCommand({ TableName: `${tables}Users`, Key: { email: { S: email } } })),
    client.send(new QueryCommand({
      TableName: `${tables}Tasks`,
      IndexName: index,
      KeyConditionExpression: "user_email = :e",
      ExpressionAttributeValues: { ":e": { S: email } },
      ScanIndexForward: false,
      Limit: 20,
    })),
  ]);
  response.render("dashboard.html", { account: plain(account.Item), tasks: tasks.Items.map(plain) });
});

app.listen(Number(port), "127.0.0.1");
