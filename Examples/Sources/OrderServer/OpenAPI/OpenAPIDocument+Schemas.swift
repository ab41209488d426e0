import OrderService
import ShopEvents

extension OpenAPIDocument {
    static let schemas: JSON = [
        "NewOrder": [
            "type": "object",
            "required": ["customerID", "shipCountry", "items"],
            "additionalProperties": false,
            "properties": [
                "customerID": text("Who orders.", example: "VINET"),
                "shipCountry": text("Where the order goes.", example: "France"),
                "items": [
                    "type": "array",
                    "minItems": .number(OrderForm.lineCounts.lowerBound),
                    "maxItems": .number(OrderForm.lineCounts.upperBound),
                    "items": reference("schemas", "NewOrderLine"),
                ],
            ],
        ],
        "NewOrderLine": [
            "type": "object",
            "required": ["sku", "quantity"],
            "additionalProperties": false,
            "description": """
            A service with a price list takes orders at its prices: unitPrice may be left out, has to be the price of \
            the list otherwise, and there are no discounts. A service whose clients choose prices requires unitPrice.
            """,
            "properties": lineProperties,
        ],
        "OrderLine": [
            "type": "object",
            "required": ["sku", "quantity", "unitPrice", "discount"],
            "properties": lineProperties,
        ],
        "OrderStatus": [
            "type": "string",
            "enum": .array(OrderStatus.Kind.allCases.map { .string($0.rawValue) }),
        ],
        "Order": [
            "type": "object",
            "required": [
                "id", "status", "customerID", "shipCountry", "placedAt", "items", "total", "history", "correlationID",
            ],
            "properties": summaryProperties.adding([
                "reason": [
                    "type": "string",
                    "enum": ["outOfStock", "unknownProduct"],
                    "description": "Why it was cancelled; only then.",
                ],
                "skus": [
                    "type": "array",
                    "items": ["type": "string"],
                    "description": "The products that are the cause of the cancellation; only then.",
                ],
                "items": ["type": "array", "minItems": 1, "items": reference("schemas", "OrderLine")],
                "history": [
                    "type": "array",
                    "minItems": 1,
                    "description": "The statuses that the order came to, in order.",
                    "items": [
                        "type": "object",
                        "required": ["status", "at"],
                        "properties": [
                            "status": reference("schemas", "OrderStatus"),
                            "at": ["type": "string", "format": "date-time"],
                        ],
                    ],
                ],
                "correlationID": [
                    "type": "string",
                    "description": "What the events of this order, and the lines of the logs, are found by.",
                ],
            ]),
        ],
        "OrderSummary": [
            "type": "object",
            "required": ["id", "status", "customerID", "shipCountry", "placedAt", "total"],
            "properties": summaryProperties,
        ],
        "OrderPage": [
            "type": "object",
            "required": ["orders"],
            "properties": [
                "orders": ["type": "array", "items": reference("schemas", "OrderSummary")],
                "next": [
                    "type": "string",
                    "description": "What to give as after for the next page; missing on the last one.",
                ],
            ],
        ],
        "Health": health,
        "Problem": problem,
    ]

    private static func text(_ description: String, example: String) -> JSON {
        [
            "type": "string",
            "description": .string(description),
            "minLength": .number(OrderForm.textLengths.lowerBound),
            "maxLength": .number(OrderForm.textLengths.upperBound),
            "pattern": .string(FieldRules.textPattern),
            "examples": [.string(example)],
        ]
    }

    private static let lineProperties: JSON = [
        "sku": [
            "type": "string",
            "description": "The product.",
            "pattern": .string(FieldRules.skuPattern),
            "examples": ["NW-011"],
        ],
        "quantity": [
            "type": "integer",
            "description": "How many pieces.",
            "minimum": .number(OrderLine.quantities.lowerBound),
            "maximum": .number(OrderLine.quantities.upperBound),
            "examples": [12],
        ],
        "unitPrice": [
            "type": "string",
            "description": "The price of one piece, up to \(OrderLine.unitPrices.upperBound).",
            "pattern": .string(FieldRules.pricePattern),
            "examples": ["14.00"],
        ],
        "discount": [
            "type": "string",
            "description": "The part of the price that is not paid, from 0 to 1.",
            "pattern": .string(FieldRules.discountPattern),
            "default": "0.00",
            "examples": ["0.15"],
        ],
    ]

    private static let summaryProperties: JSON = [
        "id": ["type": "string", "pattern": .string(FieldRules.idPattern)],
        "status": reference("schemas", "OrderStatus"),
        "customerID": ["type": "string"],
        "shipCountry": ["type": "string"],
        "placedAt": ["type": "string", "format": "date", "description": "The day on which it was placed, in UTC."],
        "total": [
            "type": "string",
            "pattern": #"^[0-9]+\.[0-9]{2}$"#,
            "description": "What all lines cost together, each rounded half up to the cent.",
        ],
    ]

    private static let health: JSON = [
        "type": "object",
        "required": ["status", "components"],
        "properties": [
            "status": [
                "type": "string", "enum": ["live", "failed", "starting", "ready", "notReady", "draining"],
            ],
            "reason": ["type": "string", "description": "What is not ready, and why; missing if all is."],
            "components": [
                "type": "array",
                "items": [
                    "type": "object",
                    "required": ["name", "status", "required"],
                    "properties": [
                        "name": ["type": "string"],
                        "status": ["type": "string", "enum": ["ready", "notReady", "failed"]],
                        "required": ["type": "boolean", "description": "Whether readiness depends on it."],
                        "reason": ["type": "string"],
                        "details": ["type": "object", "additionalProperties": ["type": "integer"]],
                    ],
                ],
            ],
        ],
    ]

    private static let problem: JSON = [
        "type": "object",
        "required": ["title", "status"],
        "properties": [
            "title": ["type": "string", "description": "What kind of problem it is."],
            "status": ["type": "integer", "description": "The status of the response."],
            "detail": ["type": "string", "description": "What was wrong in this case, and what to do about it."],
            "errors": [
                "type": "array",
                "description": "The fields, parameters or headers that are wrong.",
                "items": [
                    "type": "object",
                    "required": ["field", "problem"],
                    "properties": [
                        "field": ["type": "string", "examples": ["items[0].quantity"]],
                        "problem": [
                            "type": "string", "examples": ["has to be a whole number from 1 to 1000000"],
                        ],
                    ],
                ],
            ],
        ],
    ]
}
