extension OpenAPIDocument {
    /// The responses that report problems.
    static let problems: JSON = [
        "BadRequest": problem("The request is not valid; the fields that are wrong are named."),
        "Unauthorized": problem("The request has no valid token."),
        "NotFound": problem("There is no such thing."),
        "RequestTimeout": problem("The body did not arrive in time."),
        "ContentTooLarge": problem("The body has more than 1 MiB."),
        "UnsupportedMediaType": problem("The body is not said to be JSON in UTF-8."),
        "KeyUsed": problem("The client used the idempotency key for another order before."),
        "Failure": problem("A mistake of the service's, which its log tells of."),
        "Unavailable": problem("Something that the service depends on cannot be used at present; try again."),
    ]

    /// The parameters that several operations share.
    static let parameters: JSON = [
        "IdempotencyKey": [
            "name": "Idempotency-Key",
            "in": "header",
            "description":
                "The client's own name for the request, such as a UUID. Clients with different tokens have different keys.",
            "schema": [
                "type": "string",
                "minLength": .number(IdempotencyKey.lengths.lowerBound),
                "maxLength": .number(IdempotencyKey.lengths.upperBound),
                // White space at either end belongs to the header line, not to its value.
                "pattern": "^[!-~]([ -~]*[!-~])?$",
            ],
        ],
        "CorrelationID": [
            "name": "X-Correlation-ID",
            "in": "header",
            "description": "What to tie together everything by that this request sets off; made up if left out.",
            "schema": ["type": "string"],
        ],
    ]

    /// The headers that several responses share.
    static let headers: JSON = [
        "CorrelationID": [
            "description": "The correlation id of the request.",
            "required": true,
            "schema": ["type": "string", "minLength": 1],
        ]
    ]

    private static func problem(_ description: String) -> JSON {
        [
            "description": .string(description),
            "headers": ["X-Correlation-ID": reference("headers", "CorrelationID")],
            "content": ["application/problem+json": ["schema": reference("schemas", "Problem")]],
        ]
    }
}
