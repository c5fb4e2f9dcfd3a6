"""Chat templates: messages to text and to ids, by the one sandboxed Jinja.

from trivium.templates import ChatTemplate, DEFAULT_CHAT_TEMPLATE

template = ChatTemplate(tokenizer.chat_template or DEFAULT_CHAT_TEMPLATE)
text = template.render([{"role": "user", "content": "Hello"}], add_generation_prompt=True)
"""

from trivium.templates.chat import DEFAULT_CHAT_TEMPLATE, ChatTemplate, Message

__all__ = ["DEFAULT_CHAT_TEMPLATE", "ChatTemplate", "Message"]
