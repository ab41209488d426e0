import OrderService

extension OpenAPIDocument {
    static let placeOrder: JSON = [
        "operationId": "placeOrder",
        "summary": "Places an order",
        "description": """
        Answers as soon as the order is stored, whatever the state of the other services; the inventory's decision \
        shows in its status later. With an Idempotency-Key it is safe to send the request again: the same key and \
        the same order get the same answer and place one order. A key is remembered for 24 hours unless the \
        service is configured otherwise.
        """,
        "parameters": [
            reference("parameters", "IdempotencyKey"), reference("parameters", "CorrelationID"),
        ],
        "requestBody": [
            "required": true,
            "content": ["application/json": ["schema": reference("schemas", "NewOrder")]],
        ],
        "responses": [
            "202": response(
                "The order is stored.",
                "Order",
                headers: [
                    "Location": [
                        "description": "Where the order can be looked at.",
                        "required": true,
                        "schema": ["type": "string", "pattern": "^/orders/[!-~]+$"],
                    ],
                    "Idempotency-Replayed": [
                        "description": "Present if an earlier request with the same key placed the order.",
                        "schema": ["type": "string", "enum": ["true"]],
                    ],
                ]
            ).adding([
                "links": [
                    "order": ["operationId": "showOrder", "parameters": ["id": "$response.body#/id"]]
                ]
            ]),
            "400": reference("responses", "BadRequest"),
            "401": reference("responses", "Unauthorized"),
            "408": reference("responses", "RequestTimeout"),
            "413": reference("responses", "ContentTooLarge"),
            "415": reference("responses", "UnsupportedMediaType"),
            "422": reference("responses", "KeyUsed"),
            "500": reference("responses", "Failure"),
            "503": reference("responses", "Unavailable"),
        ],
    ]

    static let listOrders: JSON = [
        "operationId": "listOrders",
        "summary": "Lists orders in the order in which they were placed",
        "parameters": [
            [
                "name": "status",
                "in": "query",
                "description": "Only orders with this status.",
                "schema": reference("schemas", "OrderStatus"),
            ],
            [
                "name": "limit",
                "in": "query",
                "description": "How many orders at most.",
                "schema": [
                    "type": "integer",
                    "minimum": .number(OrderQuery.limits.lowerBound),
                    "maximum": .number(OrderQuery.limits.upperBound),
                    "default": .number(OrderQuery.defaultLimit),
                ],
            ],
            [
                "name": "after",
                "in": "query",
                "description": "Only orders that follow this one: the value of next in the page before.",
                "schema": [
                    "type": "string",
                    "minLength": 1,
                    "maxLength": .number(Order.maximumIDLength),
                    "pattern": .string(FieldRules.idPattern),
                ],
            ],
            reference("parameters", "CorrelationID"),
        ],
        "responses": [
            "200": response("Some orders.", "OrderPage"),
            "400": reference("responses", "BadRequest"),
            "401": reference("responses", "Unauthorized"),
            "500": reference("responses", "Failure"),
            "503": reference("responses", "Unavailable"),
        ],
    ]

    static let showOrder: JSON = [
        "operationId": "showOrder",
        "summary": "Shows an order with its history",
        "description": "What it shows may be a few seconds old where the cache could not be told of a change.",
        "parameters": [
            [
                "name": "id",
                "in": "path",
                "required": true,
                "description": "The order's id.",
                "schema": ["type": "string", "minLength": 1],
            ],
            reference("parameters", "CorrelationID"),
        ],
        "responses": [
            "200": response("The order.", "Order"),
            "401": reference("responses", "Unauthorized"),
            "404": reference("responses", "NotFound"),
            "500": reference("responses", "Failure"),
            "503": reference("responses", "Unavailable"),
        ],
    ]

    static let describe: JSON = [
        "operationId": "describe",
        "security": [],
        "summary": "This description",
        "parameters": [reference("parameters", "CorrelationID")],
        "responses": [
            "200": [
                "description": "An OpenAPI document.",
                "headers": ["X-Correlation-ID": reference("headers", "CorrelationID")],
                "content": ["application/json": ["schema": ["type": "object", "required": ["openapi", "paths"]]]],
            ]
        ],
    ]

    static let live: JSON = [
        "operationId": "isLive",
        "security": [],
        "summary": "Whether the process works, or should be restarted",
        "parameters": [reference("parameters", "CorrelationID")],
        "responses": [
            "200": response("It works.", "Health"),
            "503": response("It will not recover by itself.", "Health"),
        ],
    ]

    static let ready: JSON = [
        "operationId": "isReady",
        "security": [],
        "summary": "Whether the service should be given requests",
        "parameters": [reference("parameters", "CorrelationID")],
        "responses": [
            "200": response("It takes requests.", "Health"),
            "503": response("It does not take requests yet, or is about to stop.", "Health"),
        ],
    ]

    static let metrics: JSON = [
        "operationId": "metrics",
        "security": [],
        "summary": "Figures for Prometheus",
        "parameters": [reference("parameters", "CorrelationID")],
        "responses": [
            "200": [
                "description": "The figures, in the text format of Prometheus.",
                "headers": ["X-Correlation-ID": reference("headers", "CorrelationID")],
                "content": ["text/plain": ["schema": ["type": "string"]]],
            ]
        ],
    ]
}
