/// The description of the service's HTTP API in OpenAPI 3.1, with the limits that the code checks.
enum OpenAPIDocument {
    /// The description.
    static let orders: JSON = [
        "openapi": "3.1.0",
        "info": [
            "title": "Order service",
            "version": "1.0.0",
            "description": """
            Takes orders, and tells how far they have come. Every error has a problem document (RFC 9457) as its \
            body. A path that is not listed here is answered with 404, a method that a path does not have with 405 \
            and the header Allow. Every path that has GET has HEAD too. Every response \
            carries X-Correlation-ID. Operations with a security requirement require the token of a client, unless the \
            service is configured with http.openAccess. The header Host has to name the service; other requests are \
            answered with 421.
            """,
        ],
        "security": [["token": []]],
        "paths": [
            "/orders": ["post": placeOrder, "get": listOrders],
            "/orders/{id}": ["get": showOrder],
            "/openapi.json": ["get": describe],
            "/health/live": ["get": live],
            "/health/ready": ["get": ready],
            "/metrics": ["get": metrics],
        ],
        "components": [
            "securitySchemes": ["token": ["type": "http", "scheme": "bearer"]],
            "schemas": schemas, "responses": problems, "parameters": parameters, "headers": headers,
        ],
    ]

    /// Returns a reference to a component.
    static func reference(_ kind: String, _ name: String) -> JSON {
        ["$ref": .string("#/components/\(kind)/\(name)")]
    }

    /// Returns a response with a JSON body.
    static func response(_ description: String, _ schema: String, headers others: [String: JSON] = [:]) -> JSON {
        [
            "description": .string(description),
            "headers": JSON.object(["X-Correlation-ID": reference("headers", "CorrelationID")]).adding(others),
            "content": ["application/json": ["schema": reference("schemas", schema)]],
        ]
    }
}
