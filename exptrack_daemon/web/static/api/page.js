/** Shows /api/v1/openapi.json as a page. */

const target = document.getElementById("calls");

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function names(parameters) {
  return parameters.map(({ name, required }) => (required ? name : `${name}?`)).join(", ");
}

function section(base, path, method, operation) {
  const made = document.createElement("section");
  made.append(element("h2", `${method.toUpperCase()} ${base}${path}`), element("p", operation.summary));
  if (operation.parameters.length) made.append(element("p", `Parameters: ${names(operation.parameters)}`));
  const schema = operation.requestBody?.content["application/json"].schema;
  if (schema) {
    const keys = Object.keys(schema.properties).map((name) => ({ name, required: schema.required.includes(name) }));
    made.append(element("p", `JSON body: ${names(keys)}`));
  }
  made.append(element("p", `Answer: ${Object.keys(operation.responses[200].content).join(", ")}`));
  return made;
}

try {
  const response = await fetch("/api/v1/openapi.json");
  if (!response.ok) throw new Error(`the server said ${response.status}`);
  const { paths, servers } = await response.json();
  target.replaceChildren(
    ...Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => section(servers[0].url, path, method, operation)),
    ),
  );
} catch (error) {
  target.textContent = `The description can't be read: ${error.message}`;
}
