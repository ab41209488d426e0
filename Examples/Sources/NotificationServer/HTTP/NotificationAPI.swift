/// The description of the HTTP interface for clients and tools.
enum NotificationAPI {
    /// The document as OpenAPI 3.1 in JSON.
    static let document = #"""
        {
          "openapi": "3.1.0",
          "info": {
            "title": "Notifications",
            "version": "1.0.0",
            "description": "What customers were told about their orders. \#
            Everything but this document, /health and /metrics requires the token of a client, unless the service is \#
            configured with http.openAccess. The header Host has to name the service (421 otherwise)."
          },
          "security": [{ "token": [] }],
          "paths": {
            "/notifications": {
              "get": {
                "operationId": "listNotifications",
                "summary": "Shows the notification about an order, or the latest ones, the newest first.",
                "parameters": [
                  {
                    "name": "order", "in": "query", "description": "The order's id.",
                    "schema": { "type": "string", "minLength": 1 }
                  },
                  {
                    "name": "limit", "in": "query",
                    "description": "The maximum number. A page of a megabyte has fewer notifications.",
                    "schema": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }
                  }
                ],
                "responses": {
                  "200": {
                    "description": "The notifications; none if the customer was not told yet.",
                    "content": {
                      "application/json": { "schema": { "$ref": "#/components/schemas/NotificationPage" } }
                    }
                  },
                  "400": {
                    "description": "The query is not valid; `errors` says why.",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
                  },
                  "401": {
                    "description": "The request has no valid token.",
                    "headers": { "WWW-Authenticate": { "schema": { "type": "string" } } },
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
                  },
                  "503": {
                    "description": "The database cannot be used at present. Send the same request again.",
                    "headers": { "Retry-After": { "schema": { "type": "string", "pattern": "^[0-9]+$" } } },
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
                  }
                }
              }
            }
          },
          "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": {
              "NotificationPage": {
                "type": "object",
                "required": ["notifications"],
                "properties": {
                  "notifications": {
                    "type": "array", "maxItems": 1000,
                    "items": { "$ref": "#/components/schemas/Notification" }
                  }
                }
              },
              "Notification": {
                "type": "object",
                "required": ["eventID", "orderID", "customerID", "outcome", "text", "sentAt"],
                "properties": {
                  "eventID": { "type": "string" },
                  "orderID": { "type": "string" },
                  "customerID": { "type": "string" },
                  "outcome": { "enum": ["confirmed", "cancelled"] },
                  "text": { "type": "string" },
                  "sentAt": { "type": "string", "format": "date-time" }
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
