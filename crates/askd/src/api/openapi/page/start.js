// Shows openapi.json, which lies beside the page. Nothing is sent to anybody: the validator of Swagger is off.
SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#docs',
  presets: [SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  queryConfigEnabled: false,
  persistAuthorization: false,
  validatorUrl: null,
});
