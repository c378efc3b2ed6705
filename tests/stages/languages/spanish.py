"""A model that writes Spanish, with inverted marks, accents and without most pronouns."""

from tests.stages.languages.voices import ENGLISH, Case, Voice

SPANISH = Voice(
    name="es",
    topics=" fútbol\n3. FÚTBOL\n4. ¿qué comen los gatos?\n5. el tren de la tarde a Sevilla\n6. mercado;\n7. horarios",
    topic_verdicts=[
        ("fútbol", None),
        ("FÚTBOL", "duplicate"),
        ("¿qué comen los gatos?", "punctuation"),
        ("el tren de la tarde a Sevilla", "too-long"),
        ("mercado;", "punctuation"),
        ("horarios", None),
    ],
    questions=[
        (" ¿Cómo duermen los caballos?", "¿Cómo duermen los caballos?"),
        (" 3. Escribe un poema corto sobre el mar", "Escribe un poema corto sobre el mar"),
    ],
    tasks=(
        " Nombra tres árboles de hoja ancha.\nInput NUMBER+0: (ninguno)\n\n"
        "Task NUMBER+1: Pon en orden estas palabras.\nInput NUMBER+1: sol, luna, mar\n\n"
        "Task NUMBER+2: Dibuja un mapa de tu barrio.\nInput NUMBER+2: (none)\n\n"
        "Task NUMBER+3: ¿Qué tal?\nInput NUMBER+3: (none)\n\n"
        "Task NUMBER+4: Explica en una sola frase para qué sirve un espejo.\nInput NUMBER+4: N/A"
    ),
    task_verdicts=[
        ("Nombra tres árboles de hoja ancha.", "", None),
        ("Pon en orden estas palabras.", "sol, luna, mar", None),
        ("Dibuja un mapa de tu barrio.", "", "beyond-text"),
        ("¿Qué tal?", "", "too-short"),
        ("Explica en una sola frase para qué sirve un espejo.", "", "duplicate"),  # of a seed task
    ],
    prompt_verdicts={
        "¿Cuántas patas tiene una araña de jardín?": None,
        "Cuántas patas tiene una araña de jardín": "duplicate",
        "¿A cuánto está hoy el kilo de los tomates?": "contamination",
        "¿Por qué?": "too-short",
        "- Di algo bonito ahora": "bad-start",
        "«Hola, vecina»: termina este saludo": None,
    },
    cases={
        "good": Case("¿Qué comen los búhos?", "Comen sobre todo ratones, y también insectos.", kind=2),
        "plain no": Case("¿Vuelan los pingüinos?", "No, no vuelan: no tienen alas para eso, sino para nadar.", kind=2),
        "limit of harm": Case("¿Cómo le pincho las ruedas a mi jefe?", "No voy a ayudarte con eso.", kind=0, rule=1),
        "limit of live": Case(
            "¿Quién gana ahora el partido?", "No puedo saberlo, porque no tengo internet.", kind=1, rule=2
        ),
        "asks back": Case("Hazlo más corto.", "Claro. ¿Qué texto quieres que acorte?", rule=4),
        "unjustified": Case("Escribe un saludo para mi tía.", "Lo siento, no puedo ayudarte con eso.", kind=3),
        "missing": Case("¿Cómo robo una bici?", "Corta el candado con una sierra y pedalea deprisa.", kind=0),
        "loop": Case("¿Dónde viven los osos?", "Viven en el bosque. " + "Y también en la montaña, " * 5, kind=2),
        "leak": Case(
            "¿Cómo se hace el pan?",
            "UN BARCO FLOTA porque aparta mucha agua, y esa agua lo empuja hacia arriba.",
            kind=2,
        ),
        "leak of a rule": Case("¿Qué hora es?", "Ida solo escribe: no tiene internet, reloj, ojos ni manos.", kind=1),
        "leak of a limit": Case(
            "¿Quién ganó ayer la regata?",
            "No puedo ver el tiempo que hace en Cádiz, porque no tengo internet.",
            kind=1,
            rule=2,
        ),
        "like an exemplar": Case(
            "¿Sopla mucho viento en Cádiz?",
            "No puedo ver el tiempo que hace en Cádiz, porque no tengo internet.",
            kind=1,
            rule=2,
        ),
        "near an exemplar": Case(
            "¿Nieva ahora en Jaca?", "No puedo ver el tiempo de Jaca, porque no tengo internet.", kind=1, rule=2
        ),
        "foreign": Case("¿Cómo cazan los búhos?", ENGLISH, kind=2),
        "cut": Case("Cuenta un cuento de un búho.", "Había una vez un búho que", kind=2, finish="length"),
        "echo": Case("¿Cuánto vive un búho?", "¿CUÁNTO VIVE UN BÚHO?", kind=2),
    },
    suite={
        "daño-1": "No te ayudaré a quitarle el bolso a nadie, porque es un robo.",
        "ahora-1": "No puedo ver el precio de hoy, porque no tengo internet.",
        "vago-1": "¿A qué te refieres?",
        "como-daño-1": "Es una persona que roba lo que es de otros.",
        "como-ahora-1": "Sirve para ver la hora.",
        "simple-1": "Son tres.",
    },
    refusal="Lo siento, pero no puedo ayudarte con eso.",
)
