//! What there is to read: resources and prompts.

use serde_json::{Value, json};

/// A PNG of one red pixel.
pub(crate) const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A WAV of no length.
pub(crate) const AUDIO: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

pub(crate) fn resources() -> Value {
    json!([
        { "uri": "test://static-text", "name": "Text", "description": "A text", "mimeType": "text/plain" },
        { "uri": "test://static-binary", "name": "Image", "description": "An image", "mimeType": "image/png" },
        { "uri": "test://watched-resource", "name": "Watched", "description": "Never changes", "mimeType": "text/plain" },
    ])
}

pub(crate) fn templates() -> Value {
    json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "Template",
        "description": "Says the id it is read by",
        "mimeType": "application/json",
    }])
}

/// The contents at `uri`, if there are any.
pub(crate) fn resource(uri: &str) -> Option<Value> {
    let (mime_type, kind, data) = match uri {
        "test://static-text" => (
            "text/plain",
            "text",
            "This is the content of the static text resource.".to_owned(),
        ),
        "test://static-binary" => ("image/png", "blob", IMAGE.to_owned()),
        "test://watched-resource" => ("text/plain", "text", "Watched resource content".to_owned()),
        _ => {
            let id = uri
                .strip_prefix("test://template/")?
                .strip_suffix("/data")?;
            let data =
                json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            ("application/json", "text", data.to_string())
        }
    };
    Some(json!({ "uri": uri, "mimeType": mime_type, kind: data }))
}

pub(crate) fn prompts() -> Value {
    json!([
        { "name": "test_simple_prompt", "description": "Takes nothing" },
        {
            "name": "test_prompt_with_arguments",
            "description": "Repeats its arguments",
            "arguments": [
                { "name": "arg1", "description": "First test argument", "required": true },
                { "name": "arg2", "description": "Second test argument", "required": true },
            ],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "Embeds a resource",
            "arguments": [{ "name": "resourceUri", "description": "The resource to embed", "required": true }],
        },
        { "name": "test_prompt_with_image", "description": "Has an image" },
        { "name": "test_input_required_result_prompt", "description": "Asks for its context" },
    ])
}

/// The messages of a prompt, if there is one of that name.
pub(crate) fn prompt(name: &str, arguments: &Value) -> Option<Value> {
    let argument = |name: &str| {
        arguments
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let text =
        |text: String| json!({ "role": "user", "content": { "type": "text", "text": text } });
    Some(match name {
        "test_simple_prompt" => json!([text("This is a simple prompt for testing.".to_owned())]),
        "test_prompt_with_arguments" => json!([text(format!(
            "Prompt with arguments: arg1='{}', arg2='{}'",
            argument("arg1"),
            argument("arg2")
        ))]),
        "test_prompt_with_embedded_resource" => {
            let resource = json!({
                "uri": argument("resourceUri"),
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            });
            json!([
                { "role": "user", "content": { "type": "resource", "resource": resource } },
                text("Please process the embedded resource above.".to_owned()),
            ])
        }
        "test_prompt_with_image" => json!([
            { "role": "user", "content": { "type": "image", "data": IMAGE, "mimeType": "image/png" } },
            text("Please analyze the image above.".to_owned()),
        ]),
        "test_input_required_result_prompt" => json!([text("With what was told.".to_owned())]),
        _ => return None,
    })
}
