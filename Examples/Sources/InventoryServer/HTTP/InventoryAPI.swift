/// The description of the HTTP interface for clients and tools.
enum InventoryAPI {
    /// The document as OpenAPI 3.1 in JSON.
    static let document = #"""
        {
          "openapi": "3.1.0",
          "info": {
            "title": "Inventory",
            "version": "1.0.0",
            "description": "How many pieces of each product there are. \#
            Everything but this document, /health and /metrics requires the token of a client, unless the service is \#
            configured with http.openAccess. The header Host has to name the service (421 otherwise)."
          },
          "security": [{ "token": [] }],
          "paths": {
            "/stock": {
              "get": {
                "operationId": "listStock",
                "summary": "Lists products in the order of their skus.",
                "parameters": [
                  {
                    "name": "limit", "in": "query",
                    "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }
                  },
                  {
                    "name": "after", "in": "query",
                    "description": "The last sku of the page before.",
                    "schema": { "$ref": "#/components/schemas/SKU" }
                  }
                ],
                "responses": {
                  "200": {
                    "description": "A page.",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/StockPage" } } }
                  },
                  "400": { "$ref": "#/components/responses/Invalid" },
                  "401": { "$ref": "#/components/responses/Unauthorized" },
                  "503": { "$ref": "#/components/responses/Unavailable" }
                }
              }
            },
            "/stock/{sku}": {
              "parameters": [
                { "name": "sku", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/SKU" } }
              ],
              "get": {
                "operationId": "showStock",
                "summary": "Shows a product.",
                "responses": {
                  "200": {
                    "description": "The product.",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/StockItem" } } }
                  },
                  "400": { "$ref": "#/components/responses/Invalid" },
                  "401": { "$ref": "#/components/responses/Unauthorized" },
                  "404": { "$ref": "#/components/responses/Missing" },
                  "503": { "$ref": "#/components/responses/Unavailable" }
                }
              },
              "put": {
                "operationId": "putStock",
                "summary": "Sets how many pieces of a product there are; makes the product if it is unknown.",
                "requestBody": {
                  "required": true,
                  "content": { "application/json": { "schema": { "$ref": "#/components/schemas/StockRequest" } } }
                },
                "responses": {
                  "200": {
                    "description": "The product was changed.",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/StockItem" } } }
                  },
                  "201": {
                    "description": "The product is new.",
                    "headers": { "Location": { "schema": { "type": "string" } } },
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/StockItem" } } }
                  },
                  "400": { "$ref": "#/components/responses/Invalid" },
                  "401": { "$ref": "#/components/responses/Unauthorized" },
                  "408": { "$ref": "#/components/responses/Refused" },
                  "413": { "$ref": "#/components/responses/Refused" },
                  "415": { "$ref": "#/components/responses/Refused" },
                  "503": { "$ref": "#/components/responses/Unavailable" }
                }
              }
            }
          },
          "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": {
              "Unauthorized": {
                "description": "The request has no valid token.",
                "headers": { "WWW-Authenticate": { "schema": { "type": "string" } } },
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
              },
              "Invalid": {
                "description": "The request is not valid; `errors` says why, field by field.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
              },
              "Missing": {
                "description": "There is no such product.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
              },
              "Unavailable": {
                "description": "What the service needs for this cannot be reached. Send the same request again.",
                "headers": { "Retry-After": { "schema": { "type": "string", "pattern": "^[0-9]+$" } } },
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
              },
              "Refused": {
                "description": "The body is too large, too late, or no JSON in UTF-8.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
              }
            },
            "schemas": {
              "SKU": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
              "Money": { "type": "string", "pattern": "^[0-9]+[.][0-9]{2}$", "examples": ["14.00"] },
              "StockItem": {
                "type": "object",
                "required": ["sku", "name", "quantity", "unitPrice"],
                "properties": {
                  "sku": { "$ref": "#/components/schemas/SKU" },
                  "name": { "type": "string" },
                  "quantity": { "type": "integer", "minimum": 0, "maximum": 1000000000 },
                  "unitPrice": { "$ref": "#/components/schemas/Money" }
                }
              },
              "StockPage": {
                "type": "object",
                "required": ["items"],
                "properties": {
                  "items": {
                    "type": "array", "maxItems": 1000,
                    "items": { "$ref": "#/components/schemas/StockItem" }
                  },
                  "next": {
                    "description": "What to give as `after` for the page that follows.",
                    "$ref": "#/components/schemas/SKU"
                  }
                }
              },
              "StockRequest": {
                "type": "object",
                "required": ["quantity"],
                "properties": {
                  "quantity": { "type": "integer", "minimum": 0, "maximum": 1000000000 },
                  "name": {
                    "type": ["string", "null"], "minLength": 1, "maxLength": 200,
                    "pattern": "^[^\\u0000-\\u001F\\u007F]+$"
                  },
                  "unitPrice": {
                    "type": ["string", "null"], "pattern": "^[0-9]{1,6}([.][0-9]{1,2})?$"
                  }
                }
              },
              "Problem": {
                "type": "object",
                "required": ["title", "status"],
                "properties": {
                  "title": { "type": "string" },
                  "status": { "type": "integer" },
                  "detail": { "type": "string" },
                  "errors": {
                    "type": "array",
                    "items": {
                      "type": "object",
                      "required": ["field", "problem"],
                      "properties": { "field": { "type": "string" }, "problem": { "type": "string" } }
                    }
                  }
                }
              }
            }
          }
        }
        """#
}
